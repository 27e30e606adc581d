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

/// Field `index` of the recorded interface; nothing where none is recorded.
inline mlir::DictionaryAttr recordedField(mlir::func::FuncOp function, unsigned index) {
  auto record = function->getAttrOfType<mlir::DictionaryAttr>("qlow.abi");
  auto fields = record ? record.getAs<mlir::ArrayAttr>("fields") : mlir::ArrayAttr();
  return fields && index < fields.size() ? llvm::dyn_cast<mlir::DictionaryAttr>(fields[index]) : mlir::DictionaryAttr();
}

inline bool isStateField(mlir::DictionaryAttr field) {
  auto kind = field ? field.getAs<mlir::StringAttr>("kind") : mlir::StringAttr();
  return kind && kind.getValue() == "state";
}

/// The argument that result `result` updates. Fields of arguments come first, so a state's has its argument's number.
inline std::optional<unsigned> stateOfResult(mlir::func::FuncOp function, unsigned result) {
  if (auto record = function->getAttrOfType<mlir::DictionaryAttr>("qlow.abi")) {
    auto numbers = record.getAs<mlir::ArrayAttr>("results");
    auto number =
        numbers && result < numbers.size() ? llvm::dyn_cast<mlir::IntegerAttr>(numbers[result]) : mlir::IntegerAttr();
    bool isState = number && isStateField(recordedField(function, number.getInt()));
    return isState ? std::optional<unsigned>(number.getInt()) : std::nullopt;
  }
  mlir::Attribute name = function.getResultAttr(result, "qlow.updates");
  for (unsigned i = 0; name && i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, "qlow.name") == name)
      return i;
  return std::nullopt;
}

inline bool argumentIsState(mlir::func::FuncOp function, unsigned argument) {
  if (function->hasAttr("qlow.abi"))
    return isStateField(recordedField(function, argument));
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (stateOfResult(function, i) == argument)
      return true;
  return false;
}

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_STATES_H
