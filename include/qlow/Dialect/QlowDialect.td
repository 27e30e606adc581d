//===- QlowDialect.td - the dialect of quantized tensor programs ----------===//
//
// Scales are data, formats are types. The dialect has one type, !qlow.q, ordinary tensors of which pass through the ops
// of TensorOps.td; KernelForm.td holds the same computations after the split into parts; Attributes.td the recipe that
// selection writes and schedules read. docs/Semantics.md gives the meaning of every op.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_DIALECT_TD
#define QLOW_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinTypeInterfaces.td"

def Qlow_Dialect : Dialect {
  let name = "qlow";
  let cppNamespace = "::qlow";
  let summary = "Quantized tensors, their arithmetic, and recipes for it";
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
  let extraClassDeclaration = [{
    void registerTypes();
    void registerAttributes();
  }];
}

#endif // QLOW_DIALECT_TD
