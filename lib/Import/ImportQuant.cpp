//===- ImportQuant.cpp - see Passes.td -------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "qlow/Dialect/Dialect.h"
#include "qlow/Import/Import.h"

namespace qlow {
#define GEN_PASS_DEF_IMPORTQUANT
#include "qlow/Import/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
struct ImportQuant : qlow::impl::ImportQuantBase<ImportQuant> {
  using ImportQuantBase::ImportQuantBase;
  void runOnOperation() override {}
};
} // namespace
