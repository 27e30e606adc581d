//===- ObjectFile.h - what is done to a finished object ---------*- C++ -*-===//
//
// The two steps after code generation: no symbol may be missing that the C library does not have, and weights are
// written where the object reserved room for them.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_OBJECTFILE_H
#define QLOW_LIB_EMIT_OBJECTFILE_H

#include "qlow/Emit/Emit.h"

namespace qlow {

/// Compares undefined symbols with the closed list; the error names the function that needs one.
llvm::Error checkUndefinedSymbols(llvm::StringRef path, const AbiModule &abi);

/// Streams each weight to `symbol` plus its offset. Memory is that of one packed panel.
llvm::Error writeWeights(llvm::StringRef path, llvm::StringRef symbol, llvm::ArrayRef<WeightOp> weights,
                         const ObjectOptions &options);

} // namespace qlow

#endif // QLOW_LIB_EMIT_OBJECTFILE_H
