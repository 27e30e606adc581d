//===- HostTarget.h - which target this machine is --------------*- C++ -*-===//

#ifndef QLOW_TOOLS_HOSTTARGET_H
#define QLOW_TOOLS_HOSTTARGET_H

#include "llvm/ADT/StringRef.h"

#include <string>

namespace qlow {
/// The name itself, or for `host` the registered machine with the most features that this one has.
std::string resolveTarget(llvm::StringRef name);
} // namespace qlow

#endif // QLOW_TOOLS_HOSTTARGET_H
