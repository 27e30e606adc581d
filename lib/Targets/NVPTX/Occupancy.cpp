//===- Occupancy.cpp - how many blocks a multiprocessor holds ---------------===//
//
// Registers, shared memory, places for warps and places for blocks: what runs out first (CUDA C++ Programming Guide,
// compute capabilities; the rounding is that of the toolkit's cuda_occupancy.h). Warps are spread over four parts of a
// multiprocessor, each with a quarter of the registers.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"

#include "llvm/Support/MathExtras.h"

using namespace qlow;

static constexpr int64_t kWarp = 32, kParts = 4;
/// What is given out at a time: registers to a warp, bytes of shared memory to a block.
static constexpr int64_t kRegisterUnit = 256, kSharedUnit = 128;

std::optional<Occupancy> qlow::nvptxOccupancy(const BlockUse &use, const Machine &machine) {
  const Machine::Residents &residents = machine.residents;
  if (!residents.warps || !residents.blocks || !use.threads)
    return std::nullopt;
  int64_t warps = llvm::divideCeil(use.threads, kWarp);
  Occupancy result{residents.blocks, 0, residents.warps, "places for blocks"};
  auto limit = [&](int64_t blocks, llvm::StringRef what) {
    if (blocks < result.blocks)
      result.blocks = blocks, result.limit = what;
  };
  limit(residents.warps / warps, "places for warps");
  if (use.registers && residents.registers) {
    int64_t ofWarp = llvm::alignTo(use.registers * kWarp, kRegisterUnit);
    limit(residents.registers / kParts / ofWarp * kParts / llvm::alignTo(warps, kParts), "registers");
  }
  if (int64_t shared = llvm::alignTo(use.sharedBytes + residents.reserved, kSharedUnit); shared && residents.shared)
    limit(residents.shared / shared, "shared memory");
  result.warps = result.blocks * warps;
  return result;
}
