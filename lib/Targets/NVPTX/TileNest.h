//===- TileNest.h - a matmul as tiles of thread blocks ----------*- C++ -*-===//
//
// One object for one kernel under one recipe. It emits a gpu.launch whose blocks (CTAs) compute a tile of M x N each:
//
//   for each tile of K:  its two operand tiles arrive in one of `stages` buffers of shared memory, by a hop
//                          cp_async   asynchronous copies of 16 bytes, from a packed side or from whole rows of codes
//                          load, decode  every thread reads, decodes and stores elements: any format, any shape
//                        each thread (a row of one lane) or warp (mma.sync) loads fragments and multiplies; a
//                        warpgroup (wgmma) starts products that read shared memory themselves
//   zero point corrections, epilogue region, store
//
// Shared memory holds an operand tile in chunks: `kGroup` consecutive k of one row (column) lie together, the rows of
// a chunk follow each other, chunks follow those. This is the order of Layout too, so that packed panels are copied as
// they lie, and eight rows of a chunk are 128 consecutive bytes: ldmatrix has no bank conflicts, and wgmma finds its
// core matrices without a swizzle.
//
// Rows of codes that ldmatrix reads stay rows in shared memory, though, with their chunks swizzled: the two chunks of
// 32 bytes must arrive side by side, or each of them fetches all 32 from the second-level cache.
//
// Where the left side arrives by `tma` a warpgroup of its own copies both sides, results may leave through shared
// memory, and a tile may have fewer rows than a product or a slice of a stored panel's columns: see Specialized.cpp.
//
// Its files: TileNest.cpp (tiles and the pipeline), LineSums.cpp (what zero points need beside), Asynchronous.cpp (the
// pipeline of wgmma), Specialized.cpp (the same with a warpgroup that copies), TensorMemory.cpp (its other side where
// sums lie in tensor memory), BlockScales.cpp and ScaleRing.cpp (scales that change along K), ProductScales.cpp (those
// that instructions take), Copies.cpp (hops), Fragments.cpp (who holds what), Epilogue.cpp, MeasuredResults.cpp (codes
// whose scales are made of results), Staging.cpp (results on their way out).
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_TILENEST_H
#define QLOW_LIB_TARGETS_NVPTX_TILENEST_H

#include "NVPTX/KernelBuilder.h"

namespace qlow {

class TileNest : KernelBuilder {
public:
  static constexpr int64_t kWarp = 32;
  /// Bytes of an asynchronous copy, and what its addresses are multiples of.
  static constexpr int64_t kCopyBytes = 16;
  /// Whether a side can be copied as it lies: the row's elements in K order, lines of whole copies.
  static bool canCopy(MatmulKernelOp op, const MultiplyRow &row, bool isLhs);
  /// Whether boxes of columns can bring the right side to a row that takes them: N is known, and lines are whole
  /// copies.
  static bool canCopyColumns(MatmulKernelOp op, const MultiplyRow &row);
  /// Whether the left side's tile is swizzled rows.
  static bool swizzlesLhs(RecipeAttr recipe, const MultiplyRow &row);
  /// Codes of a side along K under one scale; 0: all of them.
  static int64_t scaledTogether(MatmulKernelOp op, bool isLhs);
  /// Whether a recipe has a warpgroup that only copies.
  static bool isSpecialized(RecipeAttr recipe) { return recipe.getLhs().front().getBy() == "tma"; }
  /// Rows of a warpgroup's product that one of its warps holds.
  static int64_t warpRows(const MultiplyRow &row) { return row.m / 4; }
  /// Whether tensor maps bring the right side, too, and most columns of such a tile.
  static bool isMapped(RecipeAttr recipe) { return recipe.getRhs().back().getBy() == "tma"; }
  static constexpr int64_t kMostMapped = 64;
  /// Columns held whose scales and the like are kept at one time, beside the sums.
  static constexpr int64_t kColumnsAhead = 16;
  /// Bytes of K in a tile that tensor maps bring, or of a row of columns: a line is one pattern of their swizzle.
  static constexpr int64_t kSwizzleBytes = 128;

  TileNest(mlir::OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row,
           const Machine &machine);

  /// Bytes of scratch: sums over k of the rows and of the columns that are not packed, where zero points need them.
  mlir::Value emitSlotBytes();
  /// Whether a recipe with a warpgroup that copies has room for the kernel's scales.
  static bool fitsScaleRing(MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row);
  /// The launches.
  void emit();
  /// Shared memory of a block that a recipe asks for, and its threads.
  static int64_t sharedBytes(RecipeAttr recipe, const MultiplyRow &row);
  static int64_t threadsOf(RecipeAttr recipe, const MultiplyRow &row);
  /// The level whose tile one thread, warp or warpgroup computes.
  static llvm::StringRef innerLevel(const MultiplyRow &row);
  /// Whether a warpgroup, or the warps of a block, hold all of each part of a row that one scale of `type` is for.
  static bool measuresResult(RecipeAttr recipe, const MultiplyRow &row, mlir::RankedTensorType type);
  /// Whether a nest can be laid out for the recipe's tiles.
  static bool hasWholeTiles(RecipeAttr recipe, const MultiplyRow &row);

private:
  enum class Side { Lhs, Rhs };
  /// An operand tile in shared memory.
  struct Tile {
    int64_t rows;       ///< of the left side, columns of the right
    int64_t chunkPitch; ///< bytes from chunk to chunk
    int64_t linePitch;  ///< bytes from row to row
    int64_t base;       ///< byte in the stage's buffer
  };
  /// One asynchronous copy that a thread makes for each tile of K.
  struct Copy {
    mlir::Value source;   ///< pointer, for the first tile of K
    mlir::Value tileStep; ///< i64, bytes from one tile of K to the next
    mlir::Value target;   ///< i32, byte in the stage's buffer
    mlir::Value chunk;    ///< i32, of the tile
    mlir::Value valid;    ///< whether the line is there; what is not becomes zero
    mlir::Value isTaken;  ///< whether this thread has a copy left to make; null: always
  };
  /// What one thread holds of the operands for one step of K.
  struct Fragments {
    llvm::SmallVector<mlir::Value> lhs, rhs;
    llvm::SmallVector<mlir::Value, 2> lhsScales, rhsScales; ///< words, of rows that take scales
    int64_t firstScale = 0;                                 ///< byte of these where the step's begin
    llvm::SmallVector<mlir::Value> values() const;
    void assign(mlir::ValueRange values); ///< in that order, as many as there are
  };
  /// The output tile of the running block.
  struct OutputTile {
    llvm::SmallVector<mlir::Value> batch; ///< index, of the batch dimensions
    mlir::Value linearBatch;              ///< index
    mlir::Value row0, column0;            ///< i32, first of the tile
    mlir::Value columnTile;               ///< i32, number of the tile of columns
    mlir::Value rows, columns;            ///< i32, of the tile that lie inside the matrix
  };
  /// The stored panel of an output tile.
  struct Panel {
    mlir::Value at;      ///< pointer
    mlir::Value width;   ///< i32, columns stored
    mlir::Value first;   ///< i32, column where the tile begins
    mlir::Value number;  ///< i32, over all matrices of the batch
    mlir::Value columns; ///< i32, of the tile that are stored
  };
  /// What the epilogue reads of a row or column that the thread holds.
  struct HeldLine {
    mlir::Value position;                  ///< i32, in the matrix or past it
    mlir::Value index;                     ///< in the matrix
    mlir::Value scale;                     ///< f32, that its sums are multiplied by; null: one
    mlir::Value zero;                      ///< i32, its zero point; null: no correction needs it
    mlir::Value sum;                       ///< i32, of its codes; of a row less K times its zero point
    llvm::SmallVector<mlir::Value> extras; ///< those that belong to it alone; null: others
  };
  /// Scales of some steps of K, f32, see BlockScales.cpp. A side whose scales do not change along K has none here.
  struct Run {
    llvm::SmallVector<mlir::Value> rows;    ///< of the rows held
    llvm::SmallVector<mlir::Value> columns; ///< of the columns held, or of groups of them
    bool isScaled() const { return !rows.empty() || !columns.empty(); }
  };
  /// Whether tiles take a part of their panel's columns, in pieces, not by tensor map.
  bool copiesPieces() const { return panelWidth != tileN && !isMapped(recipe); }
  bool isSliced() const { return panelWidth != tileN; }
  /// A place in the ring of buffers: which, and the parity of its turn; and the turn of the buffers of scales. All i32.
  struct RingPlace {
    mlir::Value stage, phase, turn;
  };

  // TileNest.cpp
  mlir::gpu::LaunchOp startLaunch(mlir::Value blocks, int64_t threads, int64_t shared);
  void emitTileLaunch();
  mlir::Value divideByHeight(mlir::Value number, mlir::Value height);
  OutputTile decomposeBlock(mlir::Value number);
  llvm::SmallVector<mlir::Value> emitPipeline(const OutputTile &block);
  /// Waits until `pending` of this thread's newest groups of copies are left, then for all threads.
  void emitArrival(int64_t pending);
  bool hasAsynchronousCopies();
  void emitCommit();
  mlir::Value stageAfter(mlir::Value stage);
  void emitSumsLaunch(Side side);
  mlir::Value emitOnes(mlir::Value line, mlir::Value word);
  bool needsRowSums();
  bool needsColumnSums();

  // Asynchronous.cpp
  llvm::SmallVector<mlir::Value> emitAsynchronousPipeline(const OutputTile &block);
  mlir::Value emitDescriptor(mlir::Value address, const Tile &tile);
  /// An instruction between what writes the sums and what reads them; the sums as they come out of it.
  llvm::SmallVector<mlir::Value> emitOrdered(llvm::StringRef instruction, llvm::ArrayRef<mlir::Value> sums);
  mlir::Value emitProduct(llvm::ArrayRef<Fragments> fragments, int64_t product, mlir::Value last);
  /// Products of one tile of K, whose sums join `sums` in f32. `runOf`: its scales, asked for while the product runs;
  /// `whenRead`: behind the last one's reads.
  void emitPromoted(llvm::function_ref<Fragments(int64_t step)> fragmentsOf,
                    llvm::function_ref<Run(int64_t product, int64_t run)> runOf,
                    llvm::MutableArrayRef<mlir::Value> sums, llvm::function_ref<void()> whenRead);

  // BlockScales.cpp
  bool isScaledAlongK(Side side);
  static int64_t runLength(MatmulKernelOp op, int64_t tileK);
  static int64_t linesTogether(MatmulKernelOp op, int64_t innerN, const MultiplyRow &row);
  int64_t stepsOfRun();
  int64_t columnsTogether(), heldTogether();
  llvm::SmallVector<Run> emitRuns(const OutputTile &block, mlir::Value kTile);
  mlir::Value emitBlockScale(const OutputTile &block, Side side, mlir::Value line, mlir::Value kTile, mlir::Value run);
  mlir::Value emitScaleOf(const Run &run, int64_t heldRow, int64_t heldColumn);
  mlir::Value emitJoined(mlir::Value sum, mlir::Value product, const Run &run, int64_t number);

  // ScaleRing.cpp
  static int64_t scaleRingBytes(RecipeAttr recipe, const MultiplyRow &row);
  bool hasScaleRing();
  int64_t scalesOfRun(Side side);
  mlir::Value scaleAt(Side side, int64_t run, mlir::Value number);
  mlir::Value scaleBuffer(mlir::Value turn), scaleBarrier(mlir::Value turn, bool isFull), turnAfter(mlir::Value turn);
  void emitScaleRingSetup();
  void forEachScale(llvm::function_ref<void(Side side, int64_t run, mlir::Value number, mlir::Value isThere)> visit);
  int64_t tilesOfRead();
  llvm::SmallVector<mlir::Value> emitScaleReads(const OutputTile &block, mlir::Value firstTile);
  mlir::Value emitScalesOfTiles(const OutputTile &block, mlir::Value line, mlir::Value firstTile,
                                mlir::VectorType type);
  void emitScaleStores(mlir::Value turn, mlir::ValueRange scales, int64_t tile);
  void emitScaleReaders();
  Run emitScalesOfProduct(mlir::Value turn, int64_t product, int64_t run, const Run &first);
  void emitScaleWait(mlir::Value turn), emitScaleArrival(mlir::Value barrier);

  // ProductScales.cpp
  static int64_t scaleWords(RecipeAttr recipe, const MultiplyRow &row);
  static int64_t productScaleBytes(RecipeAttr recipe, const MultiplyRow &row); ///< of a stage
  bool copiesScales(Side side);
  mlir::Value scaleWordAt(Side side, mlir::Value word, mlir::Value line);
  mlir::Value emitScaleWord(const OutputTile &block, Side side, mlir::Value line, mlir::Value firstK);
  void emitScaleCopy(const OutputTile &block, Side side, mlir::Value line, mlir::Value word, mlir::Value target);
  void emitProductScales(const OutputTile &block, mlir::Value stage, mlir::Value kTile);
  mlir::Value emitScaleLoad(Side side, mlir::Value stage, int64_t step, mlir::Value line);
  void emitSigns(Side side, llvm::MutableArrayRef<mlir::Value> products, mlir::Value stage, int64_t step);
  void emitFragmentScales(Fragments &fragments, mlir::Value stage, int64_t step);
  mlir::Value emitScaledProduct(const Fragments &fragments, int64_t i, int64_t j, mlir::Value sum);
  mlir::Value emitTensorFactor(Side side);

  // Specialized.cpp
  static int64_t specializedBytes(RecipeAttr recipe, const MultiplyRow &row);
  void emitSpecializedLaunch();
  bool clearsRing();
  void emitRingSetup();
  void emitUnusedRows();
  void emitProducer();
  bool copiesEarly();
  void emitPanelCopies(const OutputTile &block, const Panel &panel, mlir::Value stage, mlir::Value kTile);
  void emitStageCopies(const OutputTile &block, mlir::Value stage, mlir::Value kTile);
  void emitSliceCopies(const OutputTile &block, const Panel &panel, mlir::Value stage, mlir::Value kTile);
  /// Whether the right side comes by boxes of lines along K.
  bool mapsRhsLines() const { return !isPacked && !row.rhsByColumns; }
  void emitUnusedLines(const Tile &tile, mlir::Value lines, int64_t linesOfTile);
  void emitLhsBox(const OutputTile &block, mlir::Value stage, mlir::Value kTile);
  void emitRhsBoxes(const OutputTile &block, mlir::Value stage, mlir::Value kTile);
  void emitBox(const Tile &tile, mlir::Value map, mlir::Value stage, llvm::ArrayRef<mlir::Value> coordinates);
  mlir::Value copyTarget(const Tile &tile, mlir::Value stage, mlir::Value bytes);
  void emitConsumers();
  llvm::SmallVector<mlir::Value> emitConsumption(const OutputTile &block, RingPlace &place);
  bool joinsBehind();
  mlir::Value emitJoinsBehind(mlir::Value pitch, RingPlace &place);
  mlir::Value emitJoinsBehind(mlir::Value pitch, RingPlace &place, mlir::Value sum, int64_t count);
  void forEachTile(llvm::function_ref<RingPlace(const OutputTile &, RingPlace)> body);
  Fragments emitDescriptors(mlir::Value stage, mlir::Value width, int64_t step);
  mlir::Value emitLineDescriptor(mlir::Value address), inUnits(mlir::Value address);
  int64_t columnsOfBox();
  std::optional<int64_t> registersToMultiply();
  RingPlace placeAfter(RingPlace place);
  mlir::Value fullBarrier(mlir::Value stage), emptyBarrier(mlir::Value stage);
  void emitWait(mlir::Value barrier, mlir::Value phase);
  void emitRelease(mlir::Value stage), emitReleases(const RingPlace &at);

  // TensorMemory.cpp
  static int64_t tensorMemoryBytes(const MultiplyRow &row); ///< in shared memory, beside the sums
  void emitTensorSetup(), emitTensorAddress(), emitTensorRelease();
  mlir::Value tensorPointer(mlir::Value address);
  void emitTensorProducts(const OutputTile &block, RingPlace &place);
  RingPlace emitTensorTile(const OutputTile &block, llvm::ArrayRef<HeldLine> rows, RingPlace place);
  llvm::SmallVector<mlir::Value> emitTensorSums(int64_t firstColumn, int64_t count);

  // Staging.cpp
  static bool stagesResults(RecipeAttr recipe, const MultiplyRow &row);
  bool canStageResults();
  static int64_t stagingBytes(RecipeAttr recipe, const MultiplyRow &row);
  mlir::Value emitPanelMap();
  mlir::Value emitResultsMap();
  llvm::SmallVector<mlir::Value> mapCoordinates(const OutputTile &block, mlir::Value line, mlir::Value element);
  int64_t bytesStaged();                          ///< of a row at one time
  int64_t columnsStaged();                        ///< as many of its columns
  int64_t piece() { return columnsStaged() / 4; } ///< of them those that a thread holds
  void prepareStaging();
  void beginStaging(int64_t heldColumn);
  void stage(int64_t heldRow, int64_t heldColumn, llvm::ArrayRef<mlir::Value> results);
  void endStaging(const OutputTile &block, int64_t heldColumn);
  void finishStaging();

  // Copies.cpp
  Panel emitPanel(const OutputTile &block);
  void prepareCopies(const OutputTile &block);
  /// Calls `add` with the number of each copy of this thread, of `total` in the tile, and whether there is one.
  void forEachCopy(int64_t total, llvm::function_ref<void(mlir::Value number, mlir::Value isTaken)> add);
  void emitLineCopies(const OutputTile &block, Side side);
  mlir::Value swizzleOf(mlir::Value line); ///< of the left side: what a chunk's number is xor-ed with
  void emitPanelCopies(const OutputTile &block);
  /// Brings the operand tiles number `kTile` into the buffer of `stage`, both i32.
  void emitIssue(const OutputTile &block, mlir::Value stage, mlir::Value kTile);
  void emitDecode(const OutputTile &block, Side side, mlir::Value stage, mlir::Value kTile);
  mlir::Value emitElement(Side side, mlir::ValueRange batch, mlir::Value line, mlir::Value k);
  mlir::Value emitStoredElement(Side side, mlir::ValueRange batch, mlir::Value line, mlir::Value k);
  mlir::Value emitZero(Side side, mlir::ValueRange batch, mlir::Value line);
  llvm::SmallVector<mlir::Value> indicesOf(Side side, mlir::ValueRange batch, mlir::Value line, mlir::Value k);

  // Fragments.cpp
  void prepareFragments();
  Fragments emitFragments(mlir::Value stage, int64_t step);
  void emitMultiplies(const Fragments &fragments, llvm::MutableArrayRef<mlir::Value> sums, const Run &run = {});
  llvm::SmallVector<mlir::Value> emitZeroSums();
  /// Rows and columns of the tile that this thread holds sums of, i32; the sum of (row, column) is `sumAt`.
  llvm::SmallVector<mlir::Value> rowsHeld(const OutputTile &block), columnsHeld(const OutputTile &block);
  mlir::Value sumAt(llvm::ArrayRef<mlir::Value> sums, int64_t row, int64_t column);

  // Epilogue.cpp
  void emitEpilogue(const OutputTile &block, llvm::ArrayRef<HeldLine> rows, llvm::ArrayRef<mlir::Value> sums);
  void emitResults(const OutputTile &block, llvm::ArrayRef<HeldLine> rows, llvm::ArrayRef<mlir::Value> sums);
  mlir::Value emitInside(mlir::Value position, mlir::Value size);
  bool extraDependsOn(unsigned number, unsigned dim);
  llvm::SmallVector<HeldLine> emitRows(const OutputTile &block);
  HeldLine emitColumn(const OutputTile &block, mlir::Value position);
  mlir::Value emitScale(Side side, mlir::ValueRange batch, mlir::Value line, mlir::Value kIndex);
  bool scalesResults(Side side);
  bool isScaledByLine(Side side);
  mlir::Value emitResult(const OutputTile &block, mlir::Value sum, const HeldLine &held, const HeldLine &column);
  mlir::Value emitRegionOf(const OutputTile &block, mlir::Value sum, const HeldLine &held, const HeldLine &column);
  mlir::Value emitColumnSum(const OutputTile &block, mlir::Value column);
  int64_t columnsStoredTogether() const;
  void emitStore(const OutputTile &block, mlir::Value row, mlir::Value column, llvm::ArrayRef<mlir::Value> results);

  // MeasuredResults.cpp
  int64_t columnsMeasured();  ///< of those a thread holds, how many have one scale
  bool measuresAcrossWarps(); ///< whether others hold more of them
  void emitMeasuredResults(const OutputTile &block, llvm::ArrayRef<HeldLine> rows, llvm::ArrayRef<mlir::Value> sums);
  std::array<mlir::Value, 2> emitPairToF32(mlir::Value one, mlir::Value other);
  llvm::SmallVector<mlir::Value> emitExtremesHeld(llvm::ArrayRef<mlir::Value> positions,
                                                  llvm::ArrayRef<mlir::Value> results);
  void emitExchange(const OutputTile &block, llvm::ArrayRef<HeldLine> rows,
                    llvm::MutableArrayRef<llvm::SmallVector<mlir::Value>> extremes);
  llvm::SmallVector<mlir::Value> emitMeasured(const OutputTile &block, const HeldLine &held, mlir::Value position,
                                              mlir::ValueRange extremes, llvm::ArrayRef<mlir::Value> results);
  void emitStoreOfBlock(const OutputTile &block, const HeldLine &held, mlir::Value position, mlir::ValueRange parts);

  // Building blocks
  mlir::Value shared(mlir::Value stage, mlir::Value bytes); ///< pointer into a stage's buffer
  void prepareThread(mlir::gpu::LaunchOp launch);
  /// The value of `inside` where the condition holds, else zero.
  /// Whether a place in a tile is one of the matrix: always where the matrix is known to be whole tiles.
  mlir::Value isInside(mlir::Value place, mlir::Value size, int64_t tile);
  mlir::Value emitGuarded(mlir::Value condition, mlir::Type type, llvm::function_ref<mlir::Value()> inside);

  RecipeAttr recipe;
  const MultiplyRow &row;
  int64_t tileM, tileN, tileK, innerM, innerN; ///< of a block, of a warp or thread
  int64_t panelWidth;                          ///< of the packed right side, else of the tile
  int64_t threads, stages, steps, chunks;      ///< steps: of the row, in a tile of K
  int64_t elementSize;                         ///< bytes, of what the row multiplies
  bool copiesLhs, copiesRhs, isPacked;         ///< sides by asynchronous copies; whether the right one is stored so
  Tile lhsTile, rhsTile;
  int64_t stageBytes, productScalesBase; ///< the latter: byte in a stage's buffer
  mlir::Value n, k;                      ///< index
  std::optional<int64_t> staticK, staticN;
  int64_t kTiles() const { return llvm::divideCeil(*staticK, tileK); }

  // Inside the launch.
  mlir::Value thread, lane, warp, sharedBase, m32, n32, k32;
  llvm::SmallVector<Copy> copies;
  mlir::Value columnSumsAt;                 ///< pointer to the sums of a packed panel's columns
  mlir::Value lhsFragmentAt, rhsFragmentAt; ///< i32 bytes in a stage's buffer
  mlir::Value lhsSwizzle;                   ///< i32 bytes that the chunk's are xor-ed with; null: not swizzled

  // Inside a specialized launch.
  int64_t consumers = 0;     ///< threads that multiply
  TileMaps lhsMaps, rhsMaps; ///< the right side's: see mapsRhsLines; else one map at most
  mlir::Value outMap;
  mlir::Value warpgroup, firstTile, tileCount, tileStride, tileNumber; ///< i32
  mlir::Value barriersAt, stagingAt, scalesAt;                         ///< pointers
  mlir::Value tensorSlotAt, tensorAddress;                             ///< pointer, i32
  mlir::Value stagedRow, stagedSwizzle, isLeader, groupBarrier;
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_TILENEST_H
