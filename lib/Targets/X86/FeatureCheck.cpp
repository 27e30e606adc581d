//===- FeatureCheck.cpp - asks an x86 processor what it has -----------------===//
//
// Where each feature stands in what cpuid and xgetbv answer, and the code that asks for those of a machine. That code
// must run on any x86-64 processor: a leaf is read only where there is one, XCR0 only where the system lets it be.
//
//===----------------------------------------------------------------------===//

#include "X86/X86.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <map>

using namespace mlir;
using namespace qlow;

namespace {
/// A feature's bit; `state`: bits of XCR0 that the system must have set.
struct CpuidBit {
  StringRef feature;
  uint32_t leaf, subleaf;
  enum Register { Eax, Ebx, Ecx, Edx } reg;
  unsigned bit;
  uint32_t state;
};

// XCR0 bits, Intel SDM vol. 1, 13.3: SSE 1, AVX 2, opmask 5, ZMM_Hi256 6, Hi16_ZMM 7.
constexpr uint32_t kYmm = 0x6, kZmm = 0xE6;

// Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E for leaf 0x80000001.
constexpr CpuidBit kBits[] = {
    {"sse3", 1, 0, CpuidBit::Ecx, 0, 0},
    {"ssse3", 1, 0, CpuidBit::Ecx, 9, 0},
    {"fma", 1, 0, CpuidBit::Ecx, 12, kYmm},
    {"cx16", 1, 0, CpuidBit::Ecx, 13, 0},
    {"sse4.1", 1, 0, CpuidBit::Ecx, 19, 0},
    {"sse4.2", 1, 0, CpuidBit::Ecx, 20, 0},
    {"crc32", 1, 0, CpuidBit::Ecx, 20, 0},
    {"movbe", 1, 0, CpuidBit::Ecx, 22, 0},
    {"popcnt", 1, 0, CpuidBit::Ecx, 23, 0},
    {"xsave", 1, 0, CpuidBit::Ecx, 26, 0},
    {"avx", 1, 0, CpuidBit::Ecx, 28, kYmm},
    {"f16c", 1, 0, CpuidBit::Ecx, 29, kYmm},
    {"bmi", 7, 0, CpuidBit::Ebx, 3, 0},
    {"avx2", 7, 0, CpuidBit::Ebx, 5, kYmm},
    {"bmi2", 7, 0, CpuidBit::Ebx, 8, 0},
    {"avx512f", 7, 0, CpuidBit::Ebx, 16, kZmm},
    {"avx512dq", 7, 0, CpuidBit::Ebx, 17, kZmm},
    {"avx512ifma", 7, 0, CpuidBit::Ebx, 21, kZmm},
    {"avx512cd", 7, 0, CpuidBit::Ebx, 28, kZmm},
    {"avx512bw", 7, 0, CpuidBit::Ebx, 30, kZmm},
    {"avx512vl", 7, 0, CpuidBit::Ebx, 31, kZmm},
    {"avx512vbmi", 7, 0, CpuidBit::Ecx, 1, kZmm},
    {"avx512vbmi2", 7, 0, CpuidBit::Ecx, 6, kZmm},
    {"avx512vnni", 7, 0, CpuidBit::Ecx, 11, kZmm},
    {"avx512bitalg", 7, 0, CpuidBit::Ecx, 12, kZmm},
    {"avx512vpopcntdq", 7, 0, CpuidBit::Ecx, 14, kZmm},
    {"avxvnni", 7, 1, CpuidBit::Eax, 4, kYmm},
    {"avx512bf16", 7, 1, CpuidBit::Eax, 5, kZmm},
    {"lzcnt", 0x80000001, 0, CpuidBit::Ecx, 5, 0},
    {"sahf", 0x80000001, 0, CpuidBit::Ecx, 0, 0},
    {"xop", 0x80000001, 0, CpuidBit::Ecx, 11, kYmm},
    {"fma4", 0x80000001, 0, CpuidBit::Ecx, 16, kYmm},
};

// x86-64 psABI, baseline level; evex512 is LLVM's word for AVX-512 with all its registers.
constexpr StringRef kAlways[] = {"cmov", "cx8", "fxsr", "mmx", "sse", "sse2", "x87", "evex512"};
} // namespace

static SmallVector<CpuidBit> bitsOf(const Machine &machine) {
  SmallVector<CpuidBit> bits;
  for (const CpuidBit &bit : kBits)
    if (machine.hasFeature(bit.feature))
      bits.push_back(bit);
  return bits;
}

std::vector<StringRef> qlow::x86CheckedFeatures(const Machine &machine) {
  std::vector<StringRef> features;
  for (const CpuidBit &bit : bitsOf(machine))
    features.push_back(bit.feature);
  return features;
}

StringRef qlow::x86UncheckedFeature(const Machine &machine) {
  for (StringRef feature : machine.features)
    if (!llvm::is_contained(kAlways, feature) &&
        llvm::none_of(kBits, [&](const CpuidBit &bit) { return feature == bit.feature; }))
      return feature;
  return {};
}

static Value constant(ImplicitLocOpBuilder &b, uint32_t value) {
  return LLVM::ConstantOp::create(b, b.getI32Type(), b.getI32IntegerAttr(static_cast<int32_t>(value)));
}

static Value constantTrue(ImplicitLocOpBuilder &b) {
  return LLVM::ConstantOp::create(b, b.getI1Type(), b.getBoolAttr(true));
}

/// An instruction of `outputs` i32 results.
static SmallVector<Value> emitAsm(ImplicitLocOpBuilder &b, StringRef text, StringRef constraints, ValueRange operands,
                                  int64_t outputs) {
  auto type = LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(outputs, b.getI32Type()));
  Value registers =
      LLVM::InlineAsmOp::create(b, TypeRange(type), operands, text, constraints, /*has_side_effects=*/true,
                                /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
          .getRes();
  SmallVector<Value> result;
  for (int64_t i = 0; i < outputs; ++i)
    result.push_back(LLVM::ExtractValueOp::create(b, registers, i));
  return result;
}

/// The four registers of cpuid(leaf, subleaf).
static SmallVector<Value> emitCpuid(ImplicitLocOpBuilder &b, uint32_t leaf, uint32_t subleaf) {
  return emitAsm(b, "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx}", {constant(b, leaf), constant(b, subleaf)}, 4);
}

/// Whether all bits of `mask` are set in `value`, as i1.
static Value hasAll(ImplicitLocOpBuilder &b, Value value, uint32_t mask) {
  Value bits = constant(b, mask);
  return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, LLVM::AndOp::create(b, value, bits), bits);
}

/// Whether cpuid reports every bit. Leaves above the greatest one return other leaves' registers, so that is asked
/// first.
static Value emitCpuidChecks(ImplicitLocOpBuilder &b, ArrayRef<CpuidBit> bits) {
  std::map<std::pair<uint32_t, uint32_t>, std::array<uint32_t, 4>> masks;
  for (const CpuidBit &bit : bits)
    masks[{bit.leaf, bit.subleaf}][bit.reg] |= 1u << bit.bit;
  auto atLeast = [&](Value value, uint32_t bound) {
    return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::uge, value, constant(b, bound));
  };
  Value ok = constantTrue(b);
  for (auto &[leaf, mask] : masks) {
    ok = LLVM::AndOp::create(b, ok, atLeast(emitCpuid(b, leaf.first & 0x80000000u, 0)[0], leaf.first));
    if (leaf.second)
      ok = LLVM::AndOp::create(b, ok, atLeast(emitCpuid(b, leaf.first, 0)[0], leaf.second));
    SmallVector<Value> registers = emitCpuid(b, leaf.first, leaf.second);
    for (auto [value, bits] : llvm::zip(registers, mask))
      if (bits)
        ok = LLVM::AndOp::create(b, ok, hasAll(b, value, bits));
  }
  return ok;
}

/// cpuid has all bits, then: the system has all state that they need
Value qlow::emitX86FeatureCheck(ImplicitLocOpBuilder &b, const Machine &machine) {
  SmallVector<CpuidBit> bits = bitsOf(machine);
  uint32_t state = 0;
  for (const CpuidBit &bit : bits)
    state |= bit.state;
  if (!state)
    return emitCpuidChecks(b, bits);
  // OSXSAVE: without it xgetbv is an illegal instruction.
  bits.push_back({"osxsave", 1, 0, CpuidBit::Ecx, 27, 0});
  Value processor = emitCpuidChecks(b, bits);
  Region *function = b.getInsertionBlock()->getParent();
  Block *before = b.getInsertionBlock();
  Block *askSystem = b.createBlock(function), *answer = b.createBlock(function);
  answer->addArgument(b.getI1Type(), b.getLoc());
  b.setInsertionPointToEnd(before);
  LLVM::CondBrOp::create(b, processor, askSystem, ValueRange(), answer, ValueRange(processor));
  b.setInsertionPointToStart(askSystem);
  Value enabled = emitAsm(b, "xgetbv", "={ax},={dx},{cx}", {constant(b, 0)}, 2)[0];
  LLVM::BrOp::create(b, ValueRange(hasAll(b, enabled, state)), answer);
  b.setInsertionPointToStart(answer);
  return answer->getArgument(0);
}
