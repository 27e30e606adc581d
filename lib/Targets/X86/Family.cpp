//===- Family.cpp - the x86 family ------------------------------------------===//
//
// Rows of x86 under the CPU nest, and the processor feature bits an object checks before it runs.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"
#include "X86/X86.h"

using namespace qlow;

namespace {
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
constexpr llvm::StringRef kAlways[] = {"cmov", "cx8", "fxsr", "mmx", "sse", "sse2", "x87", "evex512"};

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
    }
    return false;
  }
  std::vector<CpuidBit> cpuidBits(const Machine &machine) const override {
    std::vector<CpuidBit> bits;
    for (const CpuidBit &bit : kBits)
      if (machine.hasFeature(bit.feature))
        bits.push_back(bit);
    return bits;
  }
  llvm::StringRef uncheckedFeature(const Machine &machine) const override {
    for (llvm::StringRef feature : machine.features)
      if (!llvm::is_contained(kAlways, feature) &&
          llvm::none_of(kBits, [&](const CpuidBit &bit) { return feature == bit.feature; }))
        return feature;
    return {};
  }
};
} // namespace

const Family &qlow::x86Family() {
  static const X86Family family;
  return family;
}
