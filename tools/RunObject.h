//===- RunObject.h - calling an object on arrays ----------------*- C++ -*-===//

#ifndef QLOW_TOOLS_RUNOBJECT_H
#define QLOW_TOOLS_RUNOBJECT_H

#include "LoadedObject.h"

#include "qlow/Reference/Reference.h"

#include "llvm/ADT/StringMap.h"

namespace qlow {

/// Types of the arrays that the function reads, in header order.
llvm::Expected<std::vector<ArrayType>> inputTypes(const AbiFunction &function);

/// Calls the function: sizes come from the arrays' shapes, or are `given` by name; workspace and results are made here.
/// Gives one array for each result or part of one, in the order of AbiFunction::results. Errors name the field, what
/// was expected and what was found.
llvm::Expected<std::vector<Array>> callObject(const LoadedObject &object, const AbiFunction &function,
                                              std::vector<Array> inputs, const llvm::StringMap<int64_t> &given);

} // namespace qlow

#endif // QLOW_TOOLS_RUNOBJECT_H
