//===- KernelParameters.cpp - what kernels will take --------------------------===//
//
// A tensor or its buffer is two pointers, an offset, sizes and strides, a quantized one as much for each of its parts.
//
//===----------------------------------------------------------------------===//

#include "KernelParameters.h"

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kWordBytes = 8;

static int64_t bytesOf(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  if (!shaped || !shaped.hasRank())
    return kWordBytes;
  QType quantized = getQuantizedElement(type);
  if (!quantized)
    return kWordBytes * (3 + 2 * shaped.getRank());
  int64_t bytes = 0;
  for (Type part : quantized.getParts(shaped.getShape()))
    bytes += bytesOf(part);
  return bytes;
}

void KernelParameters::add(Operation *op) {
  SmallVector<Operation *> open{op};
  while (!open.empty()) {
    Operation *next = open.pop_back_val();
    llvm::SetVector<Value> given(next->operand_begin(), next->operand_end());
    getUsedValuesDefinedAbove(next->getRegions(), given);
    for (Value value : given) {
      if (!known.insert(value).second)
        continue;
      Operation *producer = value.getDefiningOp();
      if (producer && !isa<ShapedType>(value.getType()))
        open.push_back(producer);
      else
        bytes += bytesOf(value.getType());
    }
  }
}
