//===- Cost.cpp - from uses to an order -------------------------------------===//
//
// One scalar at the end: a path cost can not express a maximum, so candidates add up uses of each resource class and
// are compared once.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"

using namespace qlow;

void qlow::score(Candidate &candidate, const Machine &machine) {
  double sum = 0;
  candidate.cycles = 0;
  for (unsigned i = 0; i < kNumResources; ++i) {
    double cycles = candidate.uses[i] / machine.capacity[i];
    sum += cycles;
    if (cycles <= candidate.cycles)
      continue;
    candidate.cycles = cycles;
    candidate.limit = static_cast<Resource>(i);
  }
  candidate.key = candidate.cycles + 0.1 * sum;
}
