//===- States.h - results that update an argument ---------------*- C++ -*-===//
//
// A state is one buffer of the caller's, read as an argument and written as a result. The recorded C interface says
// which; before it is recorded, the attributes on the function do.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_STATES_H
#define QLOW_LIB_TRANSFORMS_STATES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qlow {

/// Whether field `index` of the recorded interface is a state; nothing where no interface is recorded.
inline std::optional<bool> isRecordedState(mlir::func::FuncOp function, llvm::StringRef list, unsigned index) {
  auto record = function->getAttrOfType<mlir::DictionaryAttr>("qlow.abi");
  auto fields = record ? record.getAs<mlir::ArrayAttr>("fields") : mlir::ArrayAttr();
  if (!fields)
    return std::nullopt;
  if (!list.empty()) {
    auto numbers = record.getAs<mlir::ArrayAttr>(list);
    auto number =
        numbers && index < numbers.size() ? llvm::dyn_cast<mlir::IntegerAttr>(numbers[index]) : mlir::IntegerAttr();
    index = number ? number.getInt() : fields.size();
  }
  auto field = index < fields.size() ? llvm::dyn_cast<mlir::DictionaryAttr>(fields[index]) : mlir::DictionaryAttr();
  auto kind = field ? field.getAs<mlir::StringAttr>("kind") : mlir::StringAttr();
  return kind && kind.getValue() == "state";
}

inline bool resultIsState(mlir::func::FuncOp function, unsigned result) {
  if (std::optional<bool> recorded = isRecordedState(function, "results", result))
    return *recorded;
  return function.getResultAttr(result, "qlow.updates") != nullptr;
}

inline bool argumentIsState(mlir::func::FuncOp function, unsigned argument) {
  if (std::optional<bool> recorded = isRecordedState(function, "", argument))
    return *recorded;
  auto name = function.getArgAttrOfType<mlir::StringAttr>(argument, "qlow.name");
  for (unsigned i = 0; name && i < function.getNumResults(); ++i)
    if (function.getResultAttr(i, "qlow.updates") == name)
      return true;
  return false;
}

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_STATES_H
