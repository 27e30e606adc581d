//===- Cost.cpp - from uses to an order -------------------------------------===//
//
// One scalar at the end: a path cost can not express a maximum, so candidates add up uses of each resource class and
// are compared once.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"

using namespace qlow;

namespace {
struct Score {
  double cycles = 0, key = 0;
  Resource limit = Resource::Memory;
};
} // namespace

static Score scoreOf(const ResourceVector &uses, const Machine &machine) {
  Score score;
  double sum = 0;
  for (unsigned i = 0; i < kNumResources; ++i) {
    double cycles = uses[i] / machine.capacity[i];
    sum += cycles;
    if (cycles <= score.cycles)
      continue;
    score.cycles = cycles;
    score.limit = static_cast<Resource>(i);
  }
  score.key = score.cycles + 0.1 * sum;
  return score;
}

void qlow::score(Candidate &candidate, const Machine &machine) {
  Score kernel = scoreOf(candidate.uses, machine), packing = scoreOf(candidate.packing, machine);
  candidate.cycles = kernel.cycles;
  candidate.limit = kernel.limit;
  candidate.key = kernel.key;
  candidate.packingCycles = packing.cycles;
  candidate.packingKey = packing.key;
}
