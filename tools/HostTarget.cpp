//===- HostTarget.cpp - which target this machine is ------------------------===//
//
// The only place that looks at the machine the compiler runs on.
//
//===----------------------------------------------------------------------===//

#include "HostTarget.h"

#include "qlow/Targets/Targets.h"

#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace qlow;
using llvm::StringRef;

/// The registered machine with the most features that this one has, all else being equal the one made for it.
static std::string hostTarget() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  std::string triple = llvm::sys::getDefaultTargetTriple(), best = "generic";
  size_t most = 0;
  for (StringRef name : Target::names()) {
    auto target = Target::find(name);
    if (!target) {
      llvm::consumeError(target.takeError());
      continue;
    }
    const Machine &machine = (*target)->machine();
    // It fits where its objects' CPU check passes. Other features are no bits of a processor: LLVM lists what every
    // machine of the triple has, and permissions such as evex512, for some hosts and not for others.
    bool fits = llvm::Triple(machine.triple).getArch() == llvm::Triple(triple).getArch() &&
                llvm::all_of((*target)->family().checkedFeatures(machine),
                             [&](StringRef feature) { return features.lookup(feature); });
    size_t count = 2 * machine.features.size() + (machine.tune == llvm::sys::getHostCPUName());
    if (fits && count > most) {
      most = count;
      best = name.str();
    }
  }
  return best;
}

std::string qlow::resolveTarget(StringRef name) { return name == "host" ? hostTarget() : name.str(); }
