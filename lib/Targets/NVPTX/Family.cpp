//===- Family.cpp - the NVIDIA family ---------------------------------------===//
//
// Chooses among a kernel's recipes by M on the host and hands each to the tile nest.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"
#include "NVPTX/TileNest.h"
#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "llvm/Support/FormatVariadic.h"

#include <numeric>

using namespace mlir;
using namespace qlow;

/// Floats of 16 bits, or what may become such, times codes.
static bool hasHalves(const MatmulProblem &problem) {
  bool areHalves = !problem.lhs.format && elementBytes(problem.lhs.element) == 2;
  return (areHalves || (problem.lhs.unpacked && !isa<QType>(problem.lhs.unpacked))) && problem.rhs.format;
}

/// Whether the left side has codes of i8, or what may become such.
static bool hasBytes(const MatmulProblem &problem) {
  bool areBytes = problem.lhs.format && codeElement(*problem.lhs.format) == OperandElement::S8;
  return areBytes || isa_and_nonnull<QType>(problem.lhs.unpacked);
}

namespace {
class NvptxFamily final : public Family {
public:
  StringRef name() const override { return "nvptx"; }
  ArrayRef<MultiplyRow> rows() const override { return nvptxRows(); }
  bool runsOnDevice() const override { return true; }
  /// A thread of 256 may have all 255 registers that an instruction can name. Parameters are 4096 bytes, whatever the
  /// version of PTX, of which 56 words are left for sizes of loops. A schedule adds five tensor maps of 128 bytes,
  /// which are aligned to 64, a result of 18 words or so, and a workspace of five.
  LaunchFacts launchFacts(const Machine &) const override {
    constexpr int64_t kMapBytes = 5 * 128 + 64, kResultBytes = (18 + 5) * 8;
    return {/*subgroup=*/32, /*block=*/256, /*loadBytes=*/16, /*parameterBytes=*/4096 - 56 * 8,
            /*scheduleBytes=*/kMapBytes + kResultBytes};
  }
  void registerDialects(DialectRegistry &registry) const override {
    registry.insert<NVVM::NVVMDialect, gpu::GPUDialect, nvgpu::NVGPUDialect>();
  }
  ArrayRef<StringRef> kernelPasses() const override {
    static constexpr StringRef kPasses[] = {"convert-math-to-llvm", "convert-gpu-to-nvvm", "convert-nvvm-to-llvm",
                                            "reconcile-unrealized-casts"};
    return kPasses;
  }
  std::optional<Occupancy> occupancy(const BlockUse &use, const Machine &machine) const override {
    return nvptxOccupancy(use, machine);
  }
  bool hasNative(FloatUnit unit, const Machine &machine) const override {
    return unit != FloatUnit::Brain || machine.hasFeature("sm_80");
  }
  std::vector<Candidate> candidates(MLIRContext *context, const MatmulProblem &problem,
                                    const Target &target) const override {
    return nvptxCandidates(context, problem, target);
  }
  /// Tiles of few rows, or the chip stands still; then tiles of some, so that there are enough of them. Small floats
  /// times codes: a stream, then tiles of as many tokens.
  ArrayRef<int64_t> rangeBounds(const MatmulProblem &problem) const override {
    static constexpr int64_t kBounds[] = {16, 32, 64, 128, 256}, kWeightOnly[] = {1, 8, 16, 32, 64, 96, 128, 256, 512};
    bool isWeightOnly = hasHalves(problem) || (hasBytes(problem) && !problem.exactSum);
    return isWeightOnly ? ArrayRef<int64_t>(kWeightOnly) : ArrayRef<int64_t>(kBounds);
  }
  /// Products of floats by weights, whose scales may meet codes where that is exact, or rounds and is no overflow.
  bool asksForScales(const MatmulProblem &problem) const override {
    return hasHalves(problem) && problem.rhs.scaledTogether;
  }
  using Family::measuresResult;
  bool measuresResult(RecipeAttr recipe, RankedTensorType type) const override {
    const MultiplyRow *row = findNvptxRow(recipe.getUnit());
    return row && !storesFragments(recipe) && TileNest::measuresResult(recipe, *row, type);
  }
  double passCycles(double kernels, double bytes, const Machine &machine) const override {
    return nvptxPassCycles(kernels, bytes, machine);
  }
  Value emitSlotBytes(OpBuilder &builder, MatmulKernelOp kernel, const Machine &machine) const override;
  LogicalResult schedule(RewriterBase &rewriter, MatmulKernelOp kernel, const Machine &machine) const override;

private:
  LogicalResult verifyMeasured(MatmulKernelOp kernel, RecipeAttr recipe) const;
};
} // namespace

/// Recipes that no nest can follow count nothing: `schedule` says what is wrong with them.
Value NvptxFamily::emitSlotBytes(OpBuilder &builder, MatmulKernelOp kernel, const Machine &machine) const {
  IndexBuilder index(builder, kernel.getLoc());
  Value bytes = index.constant(0);
  for (RecipeAttr recipe : kernel.getRecipes().getRecipes())
    if (const MultiplyRow *row = findNvptxRow(recipe.getUnit());
        row && !storesFragments(recipe) && TileNest::hasWholeTiles(recipe, *row))
      bytes = index.max(bytes, TileNest(builder, kernel, recipe, *row, machine).emitSlotBytes());
  return bytes;
}

/// Whether a schedule of weight-only products can follow the recipe; says why not.
static LogicalResult verifyWeightOnly(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow *row,
                                      const Machine &machine) {
  QType codes = getQuantizedElement(kernel.getRhsType());
  bool isWarp = row && row->scope == MultiplyRow::Scope::Warp;
  bool isOfFloats = row && elementBits(row->lhs) == 16 && row->isFloat;
  bool isOfBytes = row && row->lhs == OperandElement::S8 && row->rhs == OperandElement::S8;
  bool takesFragments = (isOfFloats || isOfBytes) && (row->lhsInRegisters || isWarp);
  if (!takesFragments || !codes || !kernel.getPackedRhs() || !kernel.getPackedRhs()->getFragment() ||
      !FragmentDecoder::decline(*codes.getFormat(), row->lhs).empty())
    return kernel.emitOpError()
           << "has a recipe that unpacks fragments, which needs a row of 16-bit floats or of s8 and a weight "
           << "stored so, found " << recipe;
  auto tensor = cast<RankedTensorType>(kernel.getRhsType());
  int64_t ofTokens = WeightOnly::codesAlongK(kernel, /*isLhs=*/true),
          ofWeight = WeightOnly::codesAlongK(kernel, /*isLhs=*/false);
  if (std::string wrong = WeightOnly::declineScales(*row, ofTokens, ofWeight); !wrong.empty())
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which " << wrong << ", found " << recipe;
  auto tokens = cast<RankedTensorType>(kernel.getLhsType());
  QType tokenCodes = getQuantizedElement(tokens);
  bool areBytes = tokenCodes && codeElement(*tokenCodes.getFormat()) == row->lhs && !tokenCodes.getZero() &&
                  !tokenCodes.getOffset(),
       areHalves = row->lhs == OperandElement::F16 ? tokens.getElementType().isF16() : tokens.getElementType().isBF16();
  if (!(row->isFloat ? areHalves : areBytes) || kernel.getTransposeLhs())
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which takes tokens of "
                                << elementName(row->lhs) << " with K last, without zero points and offsets, found "
                                << tokens << " and " << recipe;
  WeightCodes facts{alignedFormat(*codes.getFormat()), codes.getZero(), scaleCodesOf(codes),
                    std::gcd(ofTokens, ofWeight), ofTokens != 0};
  int64_t k = tensor.getShape()[tensor.getRank() - (kernel.getTransposeRhs() ? 1 : 2)];
  bool isRing = isWarp && WeightRing::isTaken(recipe);
  if (std::string wrong = isRing   ? WeightRing::verify(recipe, *row, *facts.format, k, machine)
                          : isWarp ? WeightStream::verify(recipe)
                                   : WeightTiles::verify(recipe, *row, facts, machine);
      !wrong.empty())
    return kernel.emitOpError() << wrong << ", found " << recipe;
  // What a schedule does not read has one spelling.
  StringRef rescale = recipe.getRescale();
  if (!facts.scaledTogether)
    rescale = "end";
  else if (isWarp || (rescale != "fold" && !(rescale == "follow" && WeightTiles::canFollow(*row, facts.scales.format))))
    rescale = "block";
  int64_t stages = isRing ? recipe.getRhs()[1].getStages() : isWarp ? 0 : recipe.getLhs().front().getStages();
  bool isFused = rescale == "fold" && recipe.getRhs().back().getBy() == FragmentDecoder::kFusedHop;
  StringRef decodes = isFused ? FragmentDecoder::kFusedHop : FragmentDecoder::hop(*facts.format, row->lhs);
  RecipeAttr followed =
      weightOnlyRecipe(kernel.getContext(), *row, decodes, recipe.getTile("cta"),
                       recipe.getTile(isWarp ? "warp" : "warpgroup"), stages, rescale, isWarp ? 1 : recipe.getSplitK(),
                       isWarp || !WeightTiles::sharesTokens(recipe) ? 1 : WeightTiles::kSharers);
  if (recipe != followed)
    return kernel.emitOpError() << "has a recipe that its schedule does not follow as it stands: expected " << followed
                                << ", found " << recipe;
  return success();
}

/// Whether a warpgroup that copies can bring both sides; says why not.
static LogicalResult verifySpecialized(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(TileNest::innerLevel(row));
  if (row.scope != MultiplyRow::Scope::Warpgroup ||
      block[2] * elementBits(row.storedLhs) != 8 * TileNest::kSwizzleBytes || inner[0] != row.m)
    return kernel.emitOpError() << "has a recipe that brings the left side by tensor map, which needs a row of a "
                                << "warpgroup, tiles of " << 8 * TileNest::kSwizzleBytes / elementBits(row.storedLhs)
                                << " in K and one product of rows a "
                                << "warpgroup, found " << recipe;
  int64_t k = cast<ShapedType>(kernel.getLhsType()).getShape().back();
  if (!TileNest::canCopy(kernel, row, /*isLhs=*/true) || k == 0)
    return kernel.emitOpError()
           << "has a recipe that brings the left side by tensor map, which needs the row's elements on "
           << "the left with K last, known and a positive multiple of "
           << 8 * TileNest::kCopyBytes / elementBits(row.storedLhs);
  if (!kernel.getPackedRhs()) {
    bool fits =
        row.rhsByColumns ? TileNest::canCopyColumns(kernel, row) : TileNest::canCopy(kernel, row, /*isLhs=*/false);
    if (!fits || !TileNest::isMapped(recipe))
      return kernel.emitOpError() << "has a recipe that brings the left side by tensor map, which needs a packed right "
                                  << "side, or one by tensor map of the row's elements with "
                                  << (row.rhsByColumns ? "N" : "K") << " last, known and a multiple of "
                                  << 8 * TileNest::kCopyBytes / elementBits(row.storedRhs) << ", found " << recipe;
    return success();
  }
  int64_t n = cast<ShapedType>(kernel.getOut().getType()).getShape().back();
  bool isSliced = kernel.getPackedRhs()->getPanel() != block[1];
  if (recipe.getRescale() == "block" && isSliced && !TileNest::isMapped(recipe))
    return kernel.emitOpError()
           << "has a recipe that brings slices of panels in pieces, which leaves no warps for scales "
           << "that change along K, found " << recipe;
  if (TileNest::isMapped(recipe) && (block[1] > TileNest::kMostMapped || n % kernel.getPackedRhs()->getPanel()))
    return kernel.emitOpError()
           << "has a recipe that brings the right side by tensor map, which needs tiles of at most "
           << TileNest::kMostMapped << " columns and panels of one width, found " << n << " columns in "
           << *kernel.getPackedRhs() << " and " << recipe;
  return success();
}

/// Whether both sides have the codes that the row multiplies as they are, and scales that go with sums or that it
/// takes.
static bool takesCodesOf(MatmulKernelOp kernel, const MultiplyRow &row) {
  auto lhs = cast<RankedTensorType>(kernel.getLhsType());
  bool knowsK = !lhs.isDynamicDim(lhs.getRank() - (kernel.getTransposeLhs() ? 2 : 1));
  auto fits = [&](bool isLhs, OperandElement element) {
    QType type = getQuantizedElement(isLhs ? kernel.getLhsType() : kernel.getRhsType());
    int64_t together = TileNest::scaledTogether(kernel, isLhs);
    if (row.takesScales())
      return type && !type.getOffset() && smallFloatOf(*type.getFormat()) == element &&
             scaleElementOf(type) == row.scales && together % row.scaledTogether == 0;
    return type && !type.getOffset() && smallFloatOf(*type.getFormat()) == element &&
           (together == 0 || (!row.isFast && !row.sumsInMemory && knowsK && together % row.k == 0));
  };
  return fits(true, row.lhs) && fits(false, row.rhs);
}

/// Whether both sides are floats of 16 bits where the row multiplies those.
static bool takesFloatsOf(MatmulKernelOp kernel, const MultiplyRow &row) {
  if (!row.isFloat || elementBits(row.lhs) != 16)
    return true;
  return llvm::all_of(ArrayRef<Type>{kernel.getLhsType(), kernel.getRhsType()}, [&](Type side) {
    Type element = cast<ShapedType>(side).getElementType();
    return row.lhs == OperandElement::F16 ? element.isF16() : element.isBF16();
  });
}

/// The scales that a row of small floats has codes under, for a message.
static std::string scalesTaken(const MultiplyRow &row) {
  if (row.takesScales())
    return llvm::formatv(" under scales of {0}, one for each multiple of {1} along K or for all",
                         elementName(row.scales), row.scaledTogether);
  return " under one scale along K" +
         (row.isFast || row.sumsInMemory ? "" : ", or one for each multiple of " + std::to_string(row.k));
}

/// Whether the recipe says when scales meet sums.
static LogicalResult verifyRescale(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow &row) {
  if (row.takesScales()) {
    if (recipe.getRescale() != "fold")
      return kernel.emitOpError() << "expected rescale = fold where the row takes scales, found " << recipe;
    return success();
  }
  if (!row.takesSmallFloats()) {
    StringRef rescale = row.isFloat ? "fold" : "end";
    if (recipe.getRescale() != rescale)
      return kernel.emitOpError() << "expected rescale = " << rescale << " where '" << row.id << "' sums "
                                  << (row.isFloat ? "numbers that have met their scales" : "integers") << ", found "
                                  << recipe;
    return success();
  }
  bool hasBlocks =
      TileNest::scaledTogether(kernel, /*isLhs=*/true) || TileNest::scaledTogether(kernel, /*isLhs=*/false);
  if (recipe.getRescale() != (hasBlocks ? "block" : "end"))
    return kernel.emitOpError() << "expected rescale = block where scales change along K, and there alone, else "
                                << "rescale = end, found " << recipe;
  if (hasBlocks && TileNest::isSpecialized(recipe) && !TileNest::fitsScaleRing(kernel, recipe, row))
    return kernel.emitOpError()
           << "has a recipe with two products of columns a warpgroup, which leaves no room for scales "
           << "of each column or of less than a tile's k, found " << recipe;
  return success();
}

static bool takesSigns(MatmulKernelOp kernel) {
  return llvm::all_of(ArrayRef<Type>{kernel.getLhsType(), kernel.getRhsType()}, [](Type side) {
    QType type = getQuantizedElement(side);
    return type && codeElement(*type.getFormat()) == OperandElement::B1;
  });
}

/// Whether the recipe's words are the nest's: what it would not follow is an error, not left unread.
static LogicalResult verifyHops(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow &row) {
  int64_t stages = recipe.getLhs().front().getStages();
  bool isSpecialized = TileNest::isSpecialized(recipe), isPacked = kernel.getPackedRhs().has_value();
  auto follows = [&](ArrayRef<HopAttr> hops, ArrayRef<StringRef> ways, int64_t swizzle) {
    if (row.scope != MultiplyRow::Scope::Warpgroup) {
      if (hops.size() != 2 || hops.back().getTo() != "reg" ||
          hops.back().getBy() != (row.scope == MultiplyRow::Scope::Lane ? "load" : "ldmatrix"))
        return false;
      hops = hops.drop_back();
    }
    return hops.size() == 1 && hops[0].getTo() == "cta" && llvm::is_contained(ways, hops[0].getBy()) &&
           hops[0].getStages() == stages && hops[0].getSwizzle() == swizzle;
  };
  SmallVector<StringRef> lhsWays{"load", "decode", "cp_async"}, rhsWays = lhsWays;
  if (isSpecialized)
    lhsWays = {"tma"}, rhsWays = isPacked ? SmallVector<StringRef>{"bulk", "tma"} : lhsWays;
  ArrayRef<HopAttr> rhs = recipe.getRhs();
  bool isStored = rhs.front().getTo() == "memory" && rhs.front().getBy() == "pack";
  if (isStored == isPacked && follows(recipe.getLhs(), lhsWays, isSpecialized ? TileNest::kSwizzleBytes : 0) &&
      follows(isStored ? rhs.drop_front() : rhs, rhsWays, isSpecialized && !isPacked ? TileNest::kSwizzleBytes : 0) &&
      !recipe.getSwap() && recipe.getSplitK() == 1)
    return success();
  return kernel.emitOpError()
         << "expected sides to 'cta' by 'load', 'decode' or 'cp_async', or by 'tma' with swizzle = "
         << TileNest::kSwizzleBytes
         << ", then a packed right side by 'bulk' or 'tma', in as many stages both; to 'reg' by "
         << "'ldmatrix', of lanes 'load', where the row does not read shared memory; to 'memory' "
         << "by 'pack' first where the right side is packed; and no swap or split_k, found " << recipe;
}

/// Tiles that are there, whole, and no larger than the nest makes them.
static LogicalResult verifyTiles(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow &row) {
  StringRef level = TileNest::innerLevel(row);
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(level);
  ArrayRef<int64_t> stored = recipe.getTile("memory");
  SmallVector<StringRef> levels{"cta", level};
  if (!stored.empty() && kernel.getPackedRhs())
    levels.push_back("memory");
  if (!recipe.hasTilesAt(levels))
    return kernel.emitOpError() << "needs tiles at levels 'cta' and '" << level
                                << "', at level 'memory' where a packed right side has wider panels maybe, and no "
                                << "others, in its recipe, found " << recipe;
  if (!stored.empty() && (stored[0] != block[0] || stored[2] != block[2]))
    return kernel.emitOpError() << "expected the rows and the k of the cta tile at level 'memory', found " << recipe;
  bool isGroup = row.scope == MultiplyRow::Scope::Warpgroup;
  int64_t unitN = row.scope == MultiplyRow::Scope::Warp ? 2 * row.n : row.n;
  int64_t depth = std::max<int64_t>(256, 2048 / elementBits(row.lhs));
  int64_t most = (row.sumsInMemory ? 8 : isGroup ? 4 : 1) * 64 * 64;
  if (!TileNest::hasWholeTiles(recipe, row) || block[0] > 256 || block[1] > 256 || block[2] > depth ||
      inner[0] * inner[1] > most)
    return kernel.emitOpError() << "expected a cta tile of at most 256 x 256 x " << depth
                                << " in whole inner tiles, and these in whole units of " << row.m << " x " << unitN
                                << " x " << row.k
                                << (row.takesScales()
                                        ? ", K in words of four scales of " + std::to_string(row.scaledTogether)
                                        : "")
                                << ", found " << recipe;
  int64_t threads = TileNest::threadsOf(recipe, row);
  if (threads > 1024 || threads % 32)
    return kernel.emitOpError() << "expected inner tiles of whole warps and at most 1024 threads, found " << threads
                                << " by " << recipe;
  return success();
}

/// Sums of warpgroups for which a thread has registers, of which ptxas 13.0 gives it eight at a time and asks for some
/// beside the sums.
static LogicalResult verifySums(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow &row,
                                const Machine &machine) {
  if (row.scope != MultiplyRow::Scope::Warpgroup || row.sumsInMemory || !machine.residents.registers)
    return success();
  ArrayRef<int64_t> inner = recipe.getTile(TileNest::innerLevel(row));
  constexpr int64_t kWarpgroup = 128, kTogether = 8, kBesideSums = 32;
  int64_t threads = TileNest::threadsOf(recipe, row), sums = inner[0] * inner[1] / kWarpgroup;
  int64_t most = machine.residents.registers / threads / kTogether * kTogether - kBesideSums;
  if (sums <= most)
    return success();
  return kernel.emitOpError() << "expected warpgroup tiles of at most " << most
                              << " sums a thread, for which a block of " << threads << " threads has registers, found "
                              << sums << " by " << recipe;
}

/// Whether the nest can follow the recipe; says why not.
static LogicalResult verifyRecipe(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow *row,
                                  const Machine &machine) {
  if (storesFragments(recipe))
    return verifyWeightOnly(kernel, recipe, row, machine);
  if (!row)
    return kernel.emitOpError() << "has a recipe with '" << recipe.getUnit() << "', which is no row of this target";
  if (failed(verifyTiles(kernel, recipe, *row)) || failed(verifySums(kernel, recipe, *row, machine)))
    return failure();
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(TileNest::innerLevel(*row));
  bool isGroup = row->scope == MultiplyRow::Scope::Warpgroup;
  int64_t stages = recipe.getLhs().front().getStages(), shared = TileNest::sharedBytes(recipe, *row);
  if (failed(verifyHops(kernel, recipe, *row)))
    return failure();
  bool isSpecialized = TileNest::isSpecialized(recipe);
  if (row->lhsInRegisters || (row->rhsByColumns && (!isSpecialized || kernel.getPackedRhs())))
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', whose "
                                << (row->lhsInRegisters ? "left operand no tile in shared memory gives"
                                                        : "right side comes by tensor map as it lies")
                                << ", found " << recipe;
  if (row->sumsInMemory && (!isSpecialized || block[0] > inner[0] || block[1] > inner[1] || inner[1] != row->n))
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', whose sums are of one product a block, of "
                                << "sides that a warpgroup copies, found " << recipe;
  if (!takesFloatsOf(kernel, *row))
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which multiplies " << elementName(row->lhs)
                                << ", found " << kernel.getLhsType() << " and " << kernel.getRhsType();
  if (isSpecialized && failed(verifySpecialized(kernel, recipe, *row)))
    return failure();
  if (std::optional<LayoutAttr> packed = kernel.getPackedRhs();
      packed && (packed->getPanel() % block[1] || (!isSpecialized && packed->getPanel() != block[1])))
    return kernel.emitOpError() << "expected a right side in panels of the cta tile's " << block[1]
                                << " columns, or of a multiple where a warpgroup copies them, found " << *packed;
  // A buffer more where threads copy, and products are waited for a tile later, or a tile is one step: the next one's
  // fragments are loaded before its turn.
  int64_t fewest = !isSpecialized && (isGroup || block[2] == row->k) ? 3 : 2;
  if (stages < fewest || stages > 16 || shared > machine.levelBytes("cta"))
    return kernel.emitOpError() << "expected " << fewest << " to 16 stages in " << machine.levelBytes("cta")
                                << " bytes of shared memory, found " << stages << " in " << shared << " bytes";
  for (bool isLhs : {true, false}) {
    if ((isLhs ? recipe.getLhs() : recipe.getRhs()).front().getBy() != "cp_async")
      continue;
    if (row->scope == MultiplyRow::Scope::Lane || !TileNest::canCopy(kernel, *row, isLhs))
      return kernel.emitOpError() << "has a recipe that copies the " << (isLhs ? "left" : "right")
                                  << " side as it lies, which needs "
                                  << (row->isFloat && elementBits(row->lhs) == 16 ? "" : "codes of ")
                                  << elementName(row->lhs) << " with K last, known and a multiple of "
                                  << 8 * TileNest::kCopyBytes / elementBits(row->lhs);
  }
  if (row->promotion && block[2] > row->promotion)
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', whose sums are of at most " << row->promotion
                                << " k, found " << recipe;
  if (row->takesSigns() && !takesSigns(kernel))
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which multiplies signs, found "
                                << kernel.getLhsType() << " and " << kernel.getRhsType();
  if (row->takesSmallFloats() && !takesCodesOf(kernel, *row))
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which multiplies codes of "
                                << elementName(row->lhs) << " and " << elementName(row->rhs) << scalesTaken(*row)
                                << ", found " << kernel.getLhsType() << " and " << kernel.getRhsType();
  if (row->isFloat != kernel.getAccumulatorType().isF32())
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which does not give sums of "
                                << kernel.getAccumulatorType();
  return verifyRescale(kernel, recipe, *row);
}

/// Kernels count in 32 bits; what they address has 64.
static LogicalResult verifySizes(MatmulKernelOp kernel) {
  for (Type side : {kernel.getLhsType(), kernel.getRhsType()})
    for (int64_t size : cast<ShapedType>(side).getShape().take_back(2))
      if (!ShapedType::isDynamic(size) && size > INT32_MAX)
        return kernel.emitOpError() << "has a side of " << side << ", whose kernels count rows, columns and K in 32 "
                                    << "bits: expected at most " << INT32_MAX << " of each; split the product";
  return success();
}

LogicalResult NvptxFamily::verifyMeasured(MatmulKernelOp kernel, RecipeAttr recipe) const {
  std::optional<Type> type = kernel.getOutType();
  if (!type || measuresResult(recipe, cast<RankedTensorType>(*type)))
    return success();
  return kernel.emitOpError() << "measures scales of results, and has a recipe whose warps do not hold the blocks of "
                              << *type << ": expected sums in registers of warps, and rows or blocks of multiples of 8 "
                              << "columns that are whole in a tile of mma or in a warpgroup's of wgmma, found "
                              << recipe;
}

LogicalResult NvptxFamily::schedule(RewriterBase &rewriter, MatmulKernelOp kernel, const Machine &machine) const {
  if (failed(verifySizes(kernel)))
    return failure();
  RecipesAttr recipes = kernel.getRecipes();
  for (RecipeAttr recipe : recipes.getRecipes())
    if (failed(verifyRecipe(kernel, recipe, findNvptxRow(recipe.getUnit()), machine)) ||
        failed(verifyMeasured(kernel, recipe)))
      return failure();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(kernel);
  emitByRows(rewriter, kernel, [&](RecipeAttr recipe) {
    const MultiplyRow &row = *findNvptxRow(recipe.getUnit());
    if (storesFragments(recipe) && row.scope == MultiplyRow::Scope::Warpgroup)
      WeightTiles(rewriter, kernel, recipe, row, machine).emit();
    else if (storesFragments(recipe) && WeightRing::isTaken(recipe))
      WeightRing(rewriter, kernel, recipe, row, machine).emit();
    else if (storesFragments(recipe))
      WeightStream(rewriter, kernel, recipe, row, machine).emit();
    else
      TileNest(rewriter, kernel, recipe, row, machine).emit();
  });
  rewriter.eraseOp(kernel);
  return success();
}

const Family &qlow::nvptxFamily() {
  static const NvptxFamily family;
  return family;
}
