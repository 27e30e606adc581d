//===- WeightOnly.h - floats times codes of a weight ------------*- C++ -*-===//
//
// Products of 16-bit floats and a constant weight of 4- or 8-bit codes, stored as fragments (Layout.h). Weights are the
// rows of the instruction, tokens (rows of the matmul) its columns. Codes become 16-bit floats in registers, exactly
// where the format allows it; scales meet the f32 sums of the codes of one scale, so that the sum stays within the
// law's bound for any scale.
//
// Its files: FragmentDecoder.cpp (codes to floats), WeightOnly.cpp (what all schedules share), WeightStream.cpp (few
// rows: a stream of weights through mma.sync), WeightTiles.cpp (more rows: tiles through wgmma).
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_WEIGHTONLY_H
#define QLOW_LIB_TARGETS_NVPTX_WEIGHTONLY_H

#include "NVPTX/KernelBuilder.h"
#include "qlow/Targets/Layout.h"
#include "qlow/Targets/Targets.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace qlow {

/// The decode hop from words of codes to fragments of 16-bit floats. The number of a code is its float times `factor`.
class FragmentDecoder {
public:
  /// Why there is no hop from such codes to floats of `element`; empty if there is one.
  static std::string decline(const Format &format, OperandElement element);
  /// The hop's word in recipes.
  static llvm::StringRef hop(const Format &format, OperandElement element);
  /// Integer operations that unpack one code.
  static double aluPerCode(const Format &format, OperandElement element);

  /// `zeroFormat`: of zero points, null for none.
  FragmentDecoder(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, const Format *zeroFormat,
                  OperandElement element);

  float factor() const { return unit; }
  /// Words that hold a thread's codes of one step of 16 k.
  int64_t wordsPerStep() const { return format.bits / 4; }
  /// What `emit` takes off the codes of one row of the instruction: two copies of (zero point - least integer) in the
  /// forms it needs. `zero`, i32 in the format's integers, null for none.
  struct Bias {
    mlir::Value low, high;
  };
  Bias emitBias(mlir::Value zero);
  /// The four registers of a step: row g, row g + 8, and both again 8 k on.
  llvm::SmallVector<mlir::Value> emit(mlir::ValueRange words, const std::array<Bias, 2> &biases);

private:
  enum class Way { Nibble, Byte, Minifloat, Lookup };
  static std::optional<Way> wayOf(const Format &format, OperandElement element);
  llvm::SmallVector<mlir::Value> emitNibbles(mlir::Value word, const std::array<Bias, 2> &biases);
  llvm::SmallVector<mlir::Value> emitMinifloats(mlir::ValueRange words);
  llvm::SmallVector<mlir::Value> emitLookups(mlir::Value word);
  mlir::Value permute(mlir::Value low, mlir::Value high, mlir::Value selector);
  mlir::Value permute(mlir::Value low, mlir::Value high, int64_t selector);
  mlir::Value bitAnd(mlir::Value a, int64_t mask), bitOr(mlir::Value a, mlir::Value b),
      bitXor(mlir::Value a, mlir::Value b);
  mlir::Value shift(mlir::Value a, int64_t left);                       ///< right where negative
  mlir::Value multiplyAdd(mlir::Value a, mlir::Value b, mlir::Value c); ///< of words of two floats
  mlir::Value subtract(mlir::Value a, mlir::Value b);
  mlir::Value splat(double value); ///< as two floats
  mlir::Value splat(mlir::Value value);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  IndexBuilder i32;
  const Format &format;
  mlir::FloatType element;
  Way way;
  float unit = 1;
  bool hasSmallBiases = false;      ///< zero points less the least integer are from 0 to 63
  std::array<uint16_t, 16> table{}; ///< of Lookup
};

/// What schedules of one kernel share: its sizes, parts of the weight, and the way from sums to the result.
class WeightOnly : protected KernelBuilder {
public:
  WeightOnly(mlir::OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row);

  static constexpr int64_t kWarp = 32;

protected:
  /// Opens a launch of blocks of `threads`, leaves the builder in its body and reads the thread's place.
  mlir::gpu::LaunchOp startLaunch(mlir::Value blocks, int64_t threads, int64_t sharedBytes, int64_t cluster = 1);
  /// Splits `number`, i32, into the batch and what is left of it, of `perBatch` (i32) in each.
  mlir::Value takeBatch(mlir::Value number, mlir::Value perBatch);

  /// Codes along K of one scale, cut to a block of the layout; steps of 16 k that they are.
  int64_t stepsPerScale() const;
  bool scalesAtEnd() const { return scaledTogether == 0; }
  /// f32 scales of a column in `blocks` blocks of the layout from `block` (i32) on, a multiple of `blocks`. `validK` of
  /// each block's k are there. One for each that scale k differently: `scalesOfBlock` a block, or one for all blocks.
  llvm::SmallVector<mlir::Value> emitScales(mlir::Value column, mlir::Value block, int64_t blocks, int64_t validK);
  /// The same of zero points, i32; empty where there are none.
  llvm::SmallVector<mlir::Value> emitZeros(mlir::Value column, mlir::Value block, int64_t blocks, int64_t validK);
  /// The one scale of a column.
  mlir::Value emitEndScale(mlir::Value column);
  /// Which of emitScales' values belongs to a step of block number `block` among those.
  int64_t scaleNumber(int64_t block, int64_t step) const;

  /// The result of one place, i32 both, from its sum; `sum` has all scales but the end's. Inside the matrix only.
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
  int64_t n, k, scaledTogether;

  // Inside the launch.
  mlir::Value thread, lane, warp, m32;
  llvm::SmallVector<mlir::Value> batch; ///< index
  mlir::Value linearBatch;              ///< i64

private:
  /// Parameters (scales, zero points) of a column in consecutive groups of k, and how one is read.
  llvm::SmallVector<mlir::Value> emitParameters(mlir::Value column, mlir::Value block, int64_t blocks, int64_t validK,
                                                bool ofScales);
  llvm::SmallVector<mlir::Value> emitTogether(mlir::Value part, const Format &format, mlir::Value column,
                                              mlir::Value group, int64_t count);
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

private:
  /// Adds `blocks` blocks of the layout from `block` (i32) on to the sums.
  void emitBlocks(mlir::Value block, int64_t blocks, int64_t validK, llvm::MutableArrayRef<mlir::Value> sums);
  llvm::SmallVector<mlir::Value> emitLoop(mlir::Value begin, mlir::Value end, mlir::Value step, int64_t blocks,
                                          llvm::ArrayRef<mlir::Value> sums);
  void emitReduction(llvm::ArrayRef<mlir::Value> sums);

  int64_t tokens, warps, blocksTogether;   ///< of the block of threads; of the layout, a warp at a time
  mlir::Value token0, column0;             ///< i32
  std::array<mlir::Value, 2> columns;      ///< i32, of the thread, inside the matrix
  mlir::Value codesAt;                     ///< pointer to the thread's piece of the first block
  llvm::SmallVector<mlir::Value> tokensAt; ///< pointers to the thread's part of its rows
};

/// More rows: wgmma takes unpacked weights from registers and tokens from shared memory. A block of threads has 64
/// columns of the weight for each warpgroup of a team; teams, and blocks of a cluster, share K.
class WeightTiles : public WeightOnly {
public:
  WeightTiles(mlir::OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row);
  void emit();
  /// What is wrong with a recipe's tiles; empty if nothing.
  static std::string verify(RecipeAttr recipe, const MultiplyRow &row, int64_t codeBits, const Machine &machine);
  static int64_t sharedBytes(RecipeAttr recipe, int64_t codeBits);

private:
  using Sums = llvm::SmallVector<mlir::Value>;
  void prepare(mlir::Value blockNumber);
  /// Starts copying block number `turn` (i32) of this team into its stage's buffer; nothing where there is none.
  /// Where a parity is given, once that buffer is free.
  void emitIssue(mlir::Value turn, mlir::Value stage, mlir::Value phase);
  void emitArrival(mlir::Value stage);
  void initBarriers();
  mlir::Value barrierOf(mlir::Value stage, bool isFree);
  void arrive(mlir::Value stage, bool isFree);
  void wait(mlir::Value stage, bool isFree, mlir::Value phase);
  std::pair<mlir::Value, mlir::Value> after(mlir::Value stage, mlir::Value phase);
  Sums emitLoop();
  /// One block of the layout, which lies in the buffer of `stage`: the sums with it, biases and the first unpacked
  /// weights of the next one.
  void emitBlock(mlir::Value turn, mlir::Value stage, mlir::Value phase, mlir::Value nextStage,
                 llvm::MutableArrayRef<mlir::Value> biases, llvm::MutableArrayRef<mlir::Value> weights,
                 llvm::MutableArrayRef<mlir::Value> sums);
  llvm::SmallVector<mlir::Value> readWords(mlir::Value stage, int64_t first, int64_t count);
  llvm::SmallVector<mlir::Value> emitWeights(llvm::ArrayRef<mlir::Value> words, int64_t first,
                                             llvm::ArrayRef<mlir::Value> biases);
  llvm::SmallVector<mlir::Value> emitProducts(llvm::ArrayRef<mlir::Value> weights, mlir::Value descriptor,
                                              int64_t first, llvm::ArrayRef<mlir::Value> sums);
  llvm::SmallVector<mlir::Value> emitOrdered(llvm::StringRef instruction, llvm::ArrayRef<mlir::Value> values);
  mlir::Value blockToRead(mlir::Value turn);
  llvm::SmallVector<mlir::Value> readBiases(mlir::Value turn), readScales(mlir::Value turn);
  void emitResults(llvm::ArrayRef<mlir::Value> sums);
  void emitReduction(llvm::ArrayRef<mlir::Value> sums);
  void emitPair(mlir::ValueRange sums, mlir::Value unit);
  mlir::Value blockOf(mlir::Value turn) { return i32.add(i32.mul(turn, teams * cluster), slice); }

  int64_t tokens, groups, teams, cluster, stages; ///< groups: warpgroups of a team
  int64_t tokenBytes, stageBytes, teamThreads;

  mlir::Value shared, barriersAt, rank, team, group, inTeam, inGroup, slice, turns; ///< i32 but for the pointer
  mlir::Value token0;
  std::array<mlir::Value, 2> columns, readColumns; ///< the second inside the matrix
  mlir::Value codesFrom, codesTo, tokensFrom, tokensTo, tokensAt, tokenRow, tokenChunk;
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_WEIGHTONLY_H
