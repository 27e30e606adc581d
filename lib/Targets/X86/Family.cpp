//===- Family.cpp - the x86 family ------------------------------------------===//
//
// Rows of x86 under the CPU nest, and the check of the processor that an object makes before it runs.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"
#include "X86/X86.h"

using namespace qlow;

namespace {
class X86Family final : public CpuFamily {
public:
  llvm::StringRef name() const override { return "x86"; }
  llvm::ArrayRef<MultiplyRow> rows() const override { return x86Rows(); }
  bool hasNative(FloatUnit unit, const Machine &machine) const override {
    switch (unit) {
    case FloatUnit::Round:
      return machine.hasFeature("sse4.1");
    case FloatUnit::Half:
      return machine.hasFeature("f16c");
    case FloatUnit::Fma:
      return machine.hasFeature("fma");
    case FloatUnit::Brain: // vcvtneps2bf16 takes subnormal numbers for 0
      return false;
    }
    return false;
  }
  std::vector<llvm::StringRef> checkedFeatures(const Machine &machine) const override {
    return x86CheckedFeatures(machine);
  }
  mlir::Value emitFeatureCheck(mlir::ImplicitLocOpBuilder &builder, const Machine &machine) const override {
    return emitX86FeatureCheck(builder, machine);
  }
  llvm::StringRef uncheckedFeature(const Machine &machine) const override { return x86UncheckedFeature(machine); }
};
} // namespace

const Family &qlow::x86Family() {
  static const X86Family family;
  return family;
}
