//===- WeightOnly.h - tokens times codes of a weight ------------*- C++ -*-===//
//
// Products of 16-bit floats, or of codes of 8 bits, and a constant weight of 4- or 8-bit codes, stored as fragments
// (Layout.h). Weights are the rows of the instruction, tokens (rows of the matmul) its columns. Codes become what
// tokens are in registers, exactly where the format allows it; scales meet them there, where the law allows it, or the
// sums of the codes of one scale. Sums of bytes are i32, exact, and become f32 when they are scaled; the tokens' scales
// meet the result, or where they change along K these sums, too.
//
// Its files: FragmentDecoder.h (codes to floats or bytes), WeightOnly.cpp (what all schedules share),
// WeightStream.cpp (few rows: a stream of weights through mma.sync), WeightRing.cpp (one row: the same, copied ahead),
// WeightTiles.cpp (more rows: tiles through wgmma), WeightPairs.cpp (tiles whose columns two blocks share),
// WeightScales.cpp, WeightProducts.cpp and WeightSums.cpp (their scales, products and results).
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_WEIGHTONLY_H
#define QLOW_LIB_TARGETS_NVPTX_WEIGHTONLY_H

#include "NVPTX/FragmentDecoder.h"
#include "NVPTX/KernelBuilder.h"
#include "qlow/Targets/Layout.h"
#include "qlow/Targets/Targets.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace qlow {

/// The recipe that a schedule follows, with what it leaves open: tiles of a block of threads and of its warps or
/// warpgroups, buffers (0: codes are not copied ahead), where scales meet codes or sums, and blocks that share K.
/// `decodes`: the hop that makes numbers of codes.
RecipeAttr weightOnlyRecipe(mlir::MLIRContext *context, const MultiplyRow &row, llvm::StringRef decodes,
                            llvm::ArrayRef<int64_t> block, llvm::ArrayRef<int64_t> part, int64_t stages,
                            llvm::StringRef rescale, int64_t splitK, int64_t sharers);

/// What schedules of one kernel share: its sizes, parts of the weight, and the way from sums to the result.
class WeightOnly : protected KernelBuilder {
public:
  WeightOnly(mlir::OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row,
             const Machine &machine);

  static constexpr int64_t kWarp = 32;
  /// Codes along K under one scale of a side, 0: all; and why schedules take no such lengths of both, empty if they do.
  static int64_t codesAlongK(MatmulKernelOp op, bool isLhs);
  static std::string declineScales(const MultiplyRow &row, int64_t ofTokens, int64_t ofWeight);

protected:
  /// Opens a launch of blocks of `threads`, leaves the builder in its body and reads the thread's place.
  mlir::gpu::LaunchOp startLaunch(mlir::Value blocks, int64_t threads, int64_t sharedBytes, int64_t cluster = 1);
  /// Splits `number`, i32, into the batch and what is left of it, of `perBatch` (i32) in each.
  mlir::Value takeBatch(mlir::Value number, mlir::Value perBatch);

  /// Codes along K of one scale of each side, cut to a block of the layout; steps of a product's k that they are.
  int64_t stepsPerScale() const;
  bool scalesAtEnd() const { return scaledTogether == 0; }
  /// Parameters of codes: scales, f32, and zero points, i32.
  enum class Kind { Scales, Zeros };
  /// Those of a column in `blocks` blocks of the layout from `block` (i32) on, a multiple of `blocks`, as they are
  /// loaded: what all can be had from later. `validK` of each block's k are there. Empty where there are none.
  llvm::SmallVector<mlir::Value> loadParameters(Kind kind, mlir::Value column, mlir::Value block, int64_t blocks,
                                                int64_t validK);
  /// Of such a parameter; null of scales that are quantized themselves, but for scalesAreCodes, and of zero points
  /// where there are none.
  const Format *formatOf(Kind kind) const;
  /// Whether one load brings those of a column in so many blocks; true where there are none.
  bool lieTogether(Kind kind, int64_t blocks);
  /// What it brings at most.
  static constexpr int64_t kMostLoadBits = 128;
  /// Those of `count` blocks from number `first` on, of `blocks` that were loaded: one for each that scale k
  /// differently, `scaleNumber(1, 0)` a block.
  llvm::SmallVector<mlir::Value> decodeParameters(Kind kind, llvm::ArrayRef<mlir::Value> loaded, int64_t blocks,
                                                  int64_t first, int64_t count);
  /// The one scale of a column; a token's for a k, i32 all.
  mlir::Value emitEndScale(mlir::Value column), emitTokenScale(mlir::Value token, mlir::Value kIndex);
  /// The one of the tensor, where scalesAreCodes.
  mlir::Value emitTensorScale();
  /// Which of decodeParameters' values belongs to a step of block number `block` among those.
  int64_t scaleNumber(int64_t block, int64_t step) const;

  /// What results are made of: sums of bytes under one scale stay exact, the epilogue scales them.
  mlir::Type sumType() {
    return row.isFloat || !scalesAtEnd() ? builder.getF32Type() : mlir::Type(builder.getI32Type());
  }
  mlir::Value zeroSum(mlir::Type type);
  mlir::Value addSums(mlir::Value a, mlir::Value b);
  /// The sum of the codes of one scale times it, plus `total`.
  mlir::Value addScaled(mlir::Value sum, mlir::Value scale, mlir::Value total);
  /// The result of one place, i32 both, from its sum; `sum` has all scales but the end's and the tokens'. Inside the
  /// matrix only.
  mlir::Value emitResult(mlir::Value sum, mlir::Value token, mlir::Value column);
  void emitStore(mlir::ValueRange results, mlir::Value token, mlir::Value column);

  using KernelBuilder::offset;
  mlir::Value offset(mlir::Value pointer, int64_t bytes);
  mlir::Value dynamicShared();
  mlir::Value wordsOf(mlir::ValueRange words); ///< as a vector
  mlir::Value f32(double value);

  RecipeAttr recipe;
  const MultiplyRow &row;
  QType type;
  Layout layout;
  FragmentDecoder decoder;
  int64_t n, k, scaledTogether, tokenSize; ///< tokenSize: bytes of an element
  bool areTokensScaled;                    ///< by scales that change along K: sums meet them with the columns'
  bool scalesAreCodes;      ///< that sums or numbers meet; results meet 2^powerOfCodes and the tensor's one scale
  int64_t powerOfCodes = 0; ///< by which codes are less where numbers meet them

  // Inside the launch.
  mlir::Value thread, lane, warp, m32;
  llvm::SmallVector<mlir::Value> batch; ///< index
  mlir::Value linearBatch;              ///< i64

private:
  mlir::Value partOf(Kind kind);
  mlir::Value loadTogether(Kind kind, mlir::Value column, mlir::Value group, int64_t count);
  llvm::SmallVector<mlir::Value> codesOf(mlir::Value loaded, const Format &format, int64_t first, int64_t count);
  mlir::Value emitScaleOfBits(const Format &format, mlir::Value bits);
  llvm::SmallVector<mlir::Value> indicesOf(mlir::Value column, mlir::Value kIndex);
};

/// Few rows: each block of threads streams 16 columns' codes from memory to registers, its warps share K.
class WeightStream : public WeightOnly {
public:
  using WeightOnly::WeightOnly;
  void emit();
  static constexpr int64_t kColumns = 16;
  /// What is wrong with a recipe's tiles; empty if nothing.
  static std::string verify(RecipeAttr recipe);

protected:
  /// Of the thread's two columns: scales and zero points of consecutive blocks, empty where there are none.
  struct ColumnParameters {
    std::array<llvm::SmallVector<mlir::Value>, 2> scales, zeros;
  };
  /// Those of `blocks` blocks from `block` on, as they are loaded, and what decodeParameters makes of them.
  ColumnParameters loadColumns(const std::array<mlir::Value, 2> &ofColumns, mlir::Value block, int64_t blocks,
                               int64_t validK);
  ColumnParameters decodeColumns(const ColumnParameters &loaded, int64_t blocks);
  llvm::SmallVector<mlir::Value> wordsOfPieces(llvm::ArrayRef<mlir::Value> pieces);
  /// The scales of a thread's two tokens of a product, of the codes under scale `number` of a column.
  using TokenScales = llvm::function_ref<std::array<mlir::Value, 2>(int64_t product, int64_t number)>;
  void emitProducts(llvm::ArrayRef<mlir::Value> words, const ColumnParameters &parameters, int64_t steps,
                    int64_t validK,
                    llvm::function_ref<llvm::SmallVector<mlir::Value>(int64_t product, int64_t step)> tokensOf,
                    TokenScales tokenScales, llvm::MutableArrayRef<mlir::Value> sums);
  void emitTable();

  int64_t tokens, warps, blocksTogether; ///< of the block of threads; of the layout, a warp at a time
  int64_t tableAt;                       ///< in shared memory
  bool needsTable;                       ///< of pairs of codes, which is still to be made

private:
  /// Adds `blocks` blocks of the layout from `block` (i32) on to the sums.
  void emitBlocks(mlir::Value block, int64_t blocks, int64_t validK, llvm::MutableArrayRef<mlir::Value> sums);
  llvm::SmallVector<mlir::Value> emitLoop(mlir::Value begin, mlir::Value end, mlir::Value step, int64_t blocks,
                                          llvm::ArrayRef<mlir::Value> sums);
  void emitReduction(llvm::ArrayRef<mlir::Value> sums);

  mlir::Value token0, column0;             ///< i32
  std::array<mlir::Value, 2> columns;      ///< i32, of the thread, inside the matrix
  mlir::Value codesAt;                     ///< pointer to the thread's piece of the first block
  llvm::SmallVector<mlir::Value> tokensAt; ///< pointers to the thread's part of its rows
};

/// One token: blocks of threads stay, and copy codes to shared memory some turns ahead.
class WeightRing : public WeightStream {
public:
  using WeightStream::WeightStream;
  void emit();
  static bool isTaken(RecipeAttr recipe) {
    return recipe.getRhs().size() > 1 && recipe.getRhs()[1].getBy() == "cp_async";
  }
  /// What is wrong with a recipe's tiles; empty if nothing.
  static std::string verify(RecipeAttr recipe, const MultiplyRow &row, const Format &format, int64_t k,
                            const Machine &machine);
  /// Whether the decoder's table, where it has one, is a spread one.
  static bool isTableSpread(RecipeAttr recipe, const MultiplyRow &row, const Format &format, int64_t k,
                            const Machine &machine);
  /// Blocks of threads that share a core; scales are of `scaledTogether` codes, 0: all.
  static int64_t blocksOfCore(RecipeAttr recipe, const MultiplyRow &row, const Format &format, int64_t scaledTogether,
                              int64_t k, const Machine &machine);

private:
  /// Of a turn of a block of threads, both i32: tile of columns, and the warp's first block of the layout.
  struct Turn {
    mlir::Value tile, block;
  };
  Turn placeOf(mlir::Value turn);
  mlir::Value slotOf(mlir::Value turn);
  void emitCopies(mlir::Value turn);
  ColumnParameters loadTurn(mlir::Value turn);
  static llvm::SmallVector<mlir::Value> valuesOf(const ColumnParameters &parameters);
  static ColumnParameters parametersOf(llvm::ArrayRef<mlir::Value> values, const ColumnParameters &like);
  void emitToken(mlir::Value token);
  void emitTurn(mlir::Value turn, const ColumnParameters &loaded, llvm::MutableArrayRef<mlir::Value> sums);
  void emitReduction(llvm::ArrayRef<mlir::Value> sums, mlir::Value turn, mlir::Value token);

  int64_t stages, blocksOfToken, blocksOfK, turnsOfTile; ///< blocksOfToken: of threads, that share its tiles
  int64_t tileBytes, tokenAt, sumsAt;                    ///< of a tile of a block of the layout; in shared memory
  mlir::Value shared, firstTile, turns;                  ///< i32 but for the pointer
  mlir::Value ringAt, codesFrom;                         ///< pointers to the thread's first pieces
};

/// What tiles have to know of a weight before there is an op: formats of codes and zero points (null: none), scales,
/// codes along K under one scale of each side, 0 where all are, and whether the tokens' change along K.
struct WeightCodes {
  const Format *format, *zero;
  ScaleCodes scales;
  int64_t scaledTogether;
  bool areTokensScaled;
};

/// More rows: wgmma takes unpacked weights from registers and tokens from shared memory. A warpgroup has some blocks of
/// 64 columns of the weight; teams of them, and blocks of threads of a cluster, share K. One more warpgroup copies.
///
/// A tile may be half of 64 columns wider than its warpgroups but one: these 64 it has in common with the other block
/// of a cluster of two, and half of their K (WeightPairs.cpp).
class WeightTiles : public WeightOnly {
public:
  WeightTiles(mlir::OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row,
              const Machine &machine);
  void emit();
  /// What is wrong with a recipe's tiles; empty if nothing.
  static std::string verify(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes,
                            const Machine &machine);
  static int64_t sharedBytes(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes);
  /// Whether the last warpgroup's columns are also those of the other block's.
  static bool sharesColumns(RecipeAttr recipe);
  /// Whether the blocks of a cluster multiply the same tokens, which each copies for both, by columns of its own; and
  /// how many.
  static bool sharesTokens(RecipeAttr recipe);
  static constexpr int64_t kSharers = 2;
  /// Tokens that wait for the next weights may take a third of the second-level cache, through which weights and
  /// results pass, too. Other parts were not tried.
  static constexpr int64_t kPartOfCache = 3;
  /// Whether sums can be in units of such scales (null: these are codes themselves): ratios of scales of few bits, and
  /// sums of f16 tokens in units of any of them, are far from the ends of f32. Those of bf16 may overflow from 2^80 on.
  static bool canFollow(const MultiplyRow &row, const Format *scale);
  /// Whether the decoder's table is used, and a spread one.
  static bool hasTable(const MultiplyRow &row), isTableSpread(const MultiplyRow &row);

private:
  using Sums = llvm::SmallVector<mlir::Value>;
  /// Steps that are unpacked and started together, at most.
  static constexpr int64_t kTogether = 4;
  /// When sums meet the scales: once; never, since weights have; each time that the scale changes; or sums of
  /// one scale's codes are begun anew and then added up.
  enum class Scaling { End, Fold, Follow, Apart };
  static Scaling scalingOf(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes);
  /// Words in a buffer for each column and scale: what sums and codes meet (see WeightScales.cpp).
  static int64_t wordsOfScale(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes);
  static FragmentDecoder::Multiplier multiplierOf(RecipeAttr recipe, Scaling scaling, const WeightCodes &codes);
  static int64_t stageBytesOf(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes);
  /// A place in the ring of buffers: which, and the parity of its turn. Both i32.
  struct RingPlace {
    mlir::Value stage, phase;
  };

  // WeightTiles.cpp
  void prepareThread(mlir::gpu::LaunchOp launch);
  int64_t tilesTogether(int64_t tilesN) const;
  void prepareTile(mlir::Value number);
  void emitRingSetup();
  void emitUnusedTokens();
  mlir::Value barrierOf(mlir::Value stage, bool isFree);
  void wait(RingPlace place, bool isFree);
  void arrive(mlir::Value stage, bool isFree);
  RingPlace after(RingPlace place);
  mlir::Value stageBefore(mlir::Value stage);
  void forEachTile(llvm::function_ref<RingPlace(RingPlace)> body);
  void emitCopyingWarps();
  void emitProducer();
  void findCodes();
  mlir::Value copyTarget(mlir::Value stage, int64_t byte);
  void emitCodeCopies(mlir::Value turn, mlir::Value stage);
  void emitTokenCopies(mlir::Value turn, mlir::Value stage);
  std::optional<int64_t> registersToMultiply();
  mlir::Value blockOf(mlir::Value turn) { return i32.add(i32.mul(slice, blocksOfSlice), turn); }
  /// Whether each team has a block.
  bool areAllBusy() const {
    return isPair ? Layout::kFragmentK < k : (slices() - 1) * blocksOfSlice * Layout::kFragmentK < k;
  }
  /// Of K, of which each team has one.
  int64_t slices() const { return isPair ? 1 : teams * cluster; }
  /// Blocks of 64 columns of a tile, of a cluster's both where these share tokens or columns.
  int64_t panelsOfTile() const { return isPair ? 2 * groups - 1 : sharers * groups * columnBlocks; }
  int64_t blocksOfCluster() const { return cluster * sharers; }
  bool isPersistent() const { return teams * cluster == 1; }

  // WeightPairs.cpp
  mlir::Value panelOf(mlir::Value slot);
  mlir::Value columnOf(mlir::Value held);
  mlir::Value isOwnTurn(mlir::Value turn);
  RingPlace emitTurnsOfOther(RingPlace place, mlir::Value count);
  Sums emitOwnTurns(RingPlace &place);
  void emitPairSetup(), emitSending(llvm::ArrayRef<mlir::Value> sums);
  mlir::Value sharedSums(int64_t unit), sumsBarrier();
  void emitPairedResults(llvm::ArrayRef<mlir::Value> sums);
  int64_t firstHalf() const { return llvm::divideCeil(blocksOfSlice, 2); }

  // WeightScales.cpp
  void divideK();
  void emitScaleWarps();
  /// Of a column, in the order of K; the second empty where there are none.
  struct ColumnScales {
    llvm::SmallVector<mlir::Value> scales, zeros;
  };
  ColumnScales loadScales(mlir::Value column, mlir::Value block);
  /// Tokens whose scales a thread reads; 0 where they do not change along K.
  int64_t tokensRead() const;
  llvm::SmallVector<mlir::Value> loadTokenScales(mlir::Value first, mlir::Value block);
  void storeTokenScales(mlir::ValueRange scales, mlir::Value stage, mlir::Value first);
  mlir::Value placeOfTokenScale(mlir::Value stage, int64_t number, mlir::Value token);
  ColumnScales decodeScales(llvm::ArrayRef<mlir::Value> &loaded, const ColumnScales &like, int64_t block);
  void emitRecords(llvm::ArrayRef<ColumnScales> read, RingPlace at, mlir::Value to,
                   llvm::MutableArrayRef<mlir::Value> known, mlir::Value isThere,
                   llvm::function_ref<void()> storeOthers);
  llvm::SmallVector<mlir::Value> emitRecord(mlir::Value scale, mlir::Value zero, mlir::Value isOdd, mlir::Value &known);
  mlir::Value placeOfRecord(mlir::Value stage, int64_t number, int64_t word);
  /// The words of a scale that a warpgroup's thread needs for its two columns of a block.
  std::array<llvm::SmallVector<mlir::Value>, 2> readRecords(mlir::Value stage, int64_t columnBlock, int64_t number,
                                                            int64_t first, int64_t count);
  /// What codes of a scale meet, in words: the first column's, then the second's; and what the decoder makes of it.
  llvm::SmallVector<mlir::Value> readBiases(mlir::Value stage, int64_t columnBlock, int64_t number);
  std::array<FragmentDecoder::Bias, 2> biasesOf(llvm::ArrayRef<mlir::Value> words);
  /// Of both columns.
  int64_t wordsOfBiases() const { return 2 * (scaleWords - floatsOfScale()); }
  std::array<mlir::Value, 2> readFloats(mlir::Value stage, int64_t columnBlock, int64_t number, int64_t word);
  int64_t floatsOfScale() const { return scaling == Scaling::Follow ? 2 : scaling == Scaling::Apart ? 1 : 0; }

  // WeightProducts.cpp
  void emitConsumers();
  Sums emitLoop(RingPlace &place);
  llvm::SmallVector<mlir::Value> emitIfTurns(llvm::function_ref<llvm::SmallVector<mlir::Value>(bool)> body);
  void finish(RingPlace place, llvm::MutableArrayRef<mlir::Value> sums);
  llvm::SmallVector<mlir::Value> emitAhead(mlir::Value isLastBlock, RingPlace next, bool hasRatios,
                                           llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value)> read);
  /// One block of the layout: `unpacked`, the first unit's weights and the biases of its scale, become the next
  /// block's.
  void emitBlock(mlir::Value turn, RingPlace place, RingPlace next, llvm::MutableArrayRef<mlir::Value> unpacked,
                 llvm::MutableArrayRef<mlir::Value> sums);
  /// Products that are started together: `together` steps from `first` on of a block of columns.
  struct Unit {
    int64_t columns, first;
  };
  llvm::SmallVector<Unit> unitsOfBlock() const;
  bool beginsScale(const Unit &unit) const { return unit.first % stepsPerScale() == 0; }
  bool endsScale(const Unit &unit) const { return (unit.first + together) % stepsPerScale() == 0; }
  llvm::SmallVector<mlir::Value> readWords(mlir::Value stage, const Unit &unit);
  /// Words that are carried to the next block: its first unit's unpacked weights, and the biases of their scale.
  int64_t wordsAhead() const { return 4 * together + wordsOfBiases(); }
  llvm::SmallVector<mlir::Value> emitWeights(llvm::ArrayRef<mlir::Value> words, mlir::Value stage, const Unit &unit,
                                             llvm::ArrayRef<mlir::Value> known);
  llvm::SmallVector<mlir::Value> emitProducts(llvm::ArrayRef<mlir::Value> weights, mlir::Value descriptor,
                                              int64_t first, llvm::ArrayRef<mlir::Value> sums);
  llvm::SmallVector<mlir::Value> emitOrdered(llvm::StringRef instruction, llvm::ArrayRef<mlir::Value> values);
  mlir::Value emitFirstDescriptor();
  void followScale(llvm::MutableArrayRef<mlir::Value> sums, llvm::ArrayRef<mlir::Value> ratios);
  void joinScaled(llvm::MutableArrayRef<mlir::Value> sums, llvm::ArrayRef<mlir::Value> apart, mlir::Value stage,
                  const Unit &unit);

  // WeightSums.cpp
  void emitResults(llvm::ArrayRef<mlir::Value> sums);
  void emitReduction(llvm::ArrayRef<mlir::Value> sums);
  void emitClusterArrival();
  void emitClusterWait();
  /// A pointer to the same byte of another block of the cluster.
  mlir::Value inBlock(mlir::Value other, mlir::Value pointer);
  /// A unit is a thread's two sums of a token and of its columns of a block: it has one for every fourth token. Bytes
  /// of both, and their numbers among the block's sums.
  static constexpr int64_t kTokensOfUnit = 4, kPairBytes = 8;
  static int64_t numberOf(int64_t unit, int64_t column) { return unit / 2 * 4 + unit % 2 + 2 * column; }
  struct Pair {
    std::array<mlir::Value, 2> sums;
    mlir::Value unit; ///< i32, says the token
    int64_t columnBlock;
  };
  void emitPairs(llvm::ArrayRef<Pair> pairs);
  void emitInGroups(llvm::ArrayRef<Pair> pairs);

  Scaling scaling;
  bool isPair;                                                  ///< shares columns with the other block of its cluster
  int64_t tokens, groups, columnBlocks, teams, cluster, stages; ///< groups: warpgroups of a team
  int64_t sharers;                                              ///< blocks of a cluster that have the same tokens
  int64_t sumsOfThread;
  int64_t steps, together;           ///< of a block of the layout, of a unit
  int64_t blocksOfSlice, blocksRead; ///< blocks of K of a team, and those whose scales are read at a time
  int64_t scaleWords, tokenBytes, codeBytes, stageBytes, ringBytes, allBytes, tableAt, teamThreads, consumers, threads,
      tileColumns;

  TileMaps tokenMaps;
  mlir::Value shared, barriersAt, barriersOfOther, tileStride, tileCount, firstTile; ///< i32 but for pointers
  mlir::Value rank, team, group, inTeam, slice, turns, copyingWarp;                  ///< i32
  mlir::Value tileNumber, token0, tokensInside, panel0, codesFrom;                   ///< of the tile
  mlir::Value teamAt, tokensAt, codesAt;                                             ///< in the ring
  mlir::Value firstDescriptor; ///< i64, of the first buffer's tokens
  mlir::Value evictFirst;      ///< policy of the codes' copies
  mlir::Value isShared;        ///< i1, of a pair: the warpgroup's columns are those of both
  mlir::Value columnInTile;    ///< i32, the thread's first
  llvm::SmallVector<std::array<mlir::Value, 2>> columns;
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_WEIGHTONLY_H
