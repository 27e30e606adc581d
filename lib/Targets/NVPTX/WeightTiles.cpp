//===- WeightTiles.cpp - tiles of tokens against unpacked weights -----------===//
//
// For more tokens than a stream of weights can serve. Tokens and codes arrive in a ring of buffers in shared memory by
// asynchronous copies; a warpgroup unpacks its 64 columns' codes into registers, which wgmma takes as its left operand
// beside the tokens in shared memory. While four steps of 16 k multiply, the next four are unpacked.
//
//   for each block of 128 k of a team:
//     once the buffer is free, start copies of a later block; say that the copies of the next one are there
//     wait until all copies of this block are there
//     for each half of it: start products of unpacked weights (the first of a scale's codes begins new sums), unpack
//       what follows, the next block's first half behind the last
//     where a scale's codes end: wait for the products, sums += scale * sum;  at the block's end its buffer is free
//   sums of all teams and of the cluster's blocks are added through shared memory; epilogue; store
//
// Two mbarriers of each buffer, "full" and "free", with one arrival of each warp of the team: warpgroups drift apart,
// so that one multiplies while another unpacks and scales.
//
// In a buffer lie two panels of 64 k of tokens in wgmma's swizzle of 128 bytes, then the codes, of which each thread
// copies and reads its own pieces only.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kBlockK = Layout::kFragmentK, kSteps = kBlockK / Layout::kStep;
static constexpr int64_t kGroupThreads = Layout::kThreads, kColumns = Layout::kFragmentColumns;
static constexpr StringLiteral kWaitAll = "wgmma.wait_group.sync.aligned 0;",
                               kWaitAllButOne = "wgmma.wait_group.sync.aligned 1;";
/// Steps that are unpacked and started together.
static constexpr int64_t kTogether = 4;
static constexpr int64_t kCopyBytes = 16, kChunk = 8; ///< of an asynchronous copy; k in it
/// Bytes of a line of a panel of tokens, and what matrices of this swizzle begin at multiples of.
static constexpr int64_t kLineBytes = 128, kSwizzleBytes = 1024;
static constexpr int64_t kBarrierBytes = 8;
static constexpr int64_t kLinesOfSwizzle = kSwizzleBytes / kLineBytes;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

static int64_t stageBytesOf(RecipeAttr recipe, int64_t codeBits) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  return block[0] * kBlockK * 2 + block[1] * kBlockK * codeBits / 8;
}

int64_t WeightTiles::sharedBytes(RecipeAttr recipe, int64_t codeBits) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  int64_t teams = block[2] / kBlockK, stages = recipe.getLhs().front().getStages();
  int64_t sums = teams * block[0] * block[1] * 4;
  int64_t ring = teams * stages * (stageBytesOf(recipe, codeBits) + 2 * kBarrierBytes);
  return std::max(ring, sums) + kSwizzleBytes;
}

std::string WeightTiles::verify(RecipeAttr recipe, const MultiplyRow &row, int64_t codeBits, const Machine &machine) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), group = recipe.getTile("warpgroup");
  if (block.size() != 3 || group.size() != 3 || block[0] != row.n || block[0] % 8 || block[1] % kColumns ||
      block[2] % kBlockK || group != ArrayRef<int64_t>{row.n, kColumns, kBlockK} ||
      block[1] / kColumns * (block[2] / kBlockK) > 4)
    return llvm::formatv("expected a cta tile of {0} x {1} x {2} or multiples of the last two that give at most four "
                         "warpgroups such a tile each",
                         row.n, kColumns, kBlockK);
  int64_t stages = recipe.getLhs().front().getStages(), shared = sharedBytes(recipe, codeBits);
  if (stages < 3 || stages > 16 || shared > machine.levelBytes("cta") || recipe.getSplitK() > 8)
    return llvm::formatv(
        "expected 3 to 16 stages in {0} bytes of shared memory and at most 8 blocks that share K, found "
        "{1} stages in {2} bytes",
        machine.levelBytes("cta"), stages, shared);
  return {};
}

WeightTiles::WeightTiles(OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row)
    : WeightOnly(builder, op, recipe, row) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  tokens = block[0];
  groups = block[1] / kColumns;
  teams = block[2] / kBlockK;
  cluster = recipe.getSplitK();
  stages = recipe.getLhs().front().getStages();
  tokenBytes = tokens * kBlockK * 2;
  stageBytes = stageBytesOf(recipe, layout.elementBits);
  teamThreads = groups * kGroupThreads;
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

void WeightTiles::emit() {
  Value tilesM = index.ceilDiv(m, tokens);
  int64_t tilesN = llvm::divideCeil(n, groups * kColumns);
  OpBuilder::InsertionGuard guard(builder);
  Value blocks = index.mul(index.mul(batchCount, index.mul(tilesM, tilesN)), cluster);
  gpu::LaunchOp launch = startLaunch(blocks, teams * teamThreads, sharedBytes(recipe, layout.elementBits), cluster);
  prepare(i32.cast(launch.getBlockIds().x));
  Sums sums = emitLoop();
  if (teams * cluster > 1)
    emitReduction(sums);
  else
    emitResults(sums);
}

void WeightTiles::prepare(Value number) {
  rank = i32.rem(number, cluster);
  number = i32.div(number, cluster);
  int64_t tilesN = llvm::divideCeil(n, groups * kColumns);
  Value tiles = i32.ceilDiv(m32, tokens);
  number = takeBatch(number, i32.mul(tiles, tilesN));
  // Blocks with the same weights run side by side.
  Value tile = i32.div(number, tiles);
  token0 = i32.mul(i32.rem(number, tiles), tokens);

  // All threads of a warp agree on what follows from the warp's number; the compiler can not know it.
  warp = gpu::ShuffleOp::create(builder, loc, warp, i32.constant(0), i32.constant(kWarp), gpu::ShuffleMode::IDX)
             .getShuffleResult();
  Value groupNumber = i32.div(warp, 4);
  team = i32.div(groupNumber, groups);
  group = i32.rem(groupNumber, groups);
  inGroup = i32.rem(thread, kGroupThreads);
  inTeam = i32.rem(thread, teamThreads);
  slice = i32.add(i32.mul(rank, teams), team);
  // A last block that K ends in is one too.
  int64_t blocksOfK = llvm::divideCeil(k, kBlockK), slices = teams * cluster;
  turns = i32.div(i32.sub(i32.constant(blocksOfK + slices - 1), slice), slices);

  Value line = i32.div(lane, 4), groupTile = i32.add(i32.mul(tile, groups), group);
  Value column = i32.add(i32.mul(groupTile, kColumns), i32.mul(i32.rem(warp, 4), 16));
  column = i32.add(column, i32.mul(line, 2));
  for (int64_t h = 0; h < 2; ++h) {
    columns[h] = i32.add(column, h);
    readColumns[h] = i32.min(columns[h], i32.constant(n - 1));
  }

  Value memory = dynamicShared();
  Value address = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), memory);
  shared = LLVM::IntToPtrOp::create(builder, loc, memory.getType(),
                                    i32.mul(i32.ceilDiv(address, kSwizzleBytes), kSwizzleBytes));
  Value teamAt = offset(shared, i32.mul(team, stages * stageBytes));

  Value panel = i32.min(groupTile, i32.constant(layout.numPanels() - 1));
  Value codes = i64.add(i64.mul(linearBatch, layout.bytes()), i64.mul(i64.cast(panel), layout.panelOffset(1)));
  codes = i64.add(codes, i64.cast(i32.add(i32.mul(slice, layout.blockBytes()), i32.mul(inGroup, kCopyBytes))));
  codesFrom = offset(pointerOf(op.getRhs().front()), codes);
  tokensAt = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), teamAt);
  codesTo =
      offset(teamAt, i32.add(i32.add(i32.mul(group, layout.blockBytes()), i32.mul(inGroup, kCopyBytes)), tokenBytes));

  // A line of 128 k is 16 copies; chunk c of a line of a panel lies at place c ^ (line % 8) of it.
  int64_t copiesOfLine = kBlockK / kChunk, chunksOfPanel = kLineBytes / kCopyBytes;
  tokenRow = i32.div(inTeam, copiesOfLine);
  tokenChunk = i32.rem(inTeam, copiesOfLine);
  Value element = i64.add(i64.mul(linearBatch, i64.cast(m)), i64.cast(i32.add(token0, tokenRow)));
  element = i64.add(i64.mul(element, k), i64.cast(i32.add(i32.mul(slice, kBlockK), i32.mul(tokenChunk, kChunk))));
  tokensFrom = offset(pointerOf(op.getLhs().front()), i64.mul(element, 2));
  Value place =
      arith::XOrIOp::create(builder, loc, i32.rem(tokenChunk, chunksOfPanel), i32.rem(tokenRow, kLinesOfSwizzle));
  Value to = i32.add(i32.mul(tokenRow, kLineBytes), i32.mul(place, kCopyBytes));
  to = i32.add(to, i32.mul(i32.div(tokenChunk, chunksOfPanel), tokens * kLineBytes));
  tokensTo = offset(teamAt, to);
}

//===----------------------------------------------------------------------===//
// Barriers of buffers
//===----------------------------------------------------------------------===//

void WeightTiles::initBarriers() {
  Value first = offset(shared, teams * stages * stageBytes);
  ifThen(i32.equal(thread, i32.constant(0)), [&] {
    for (int64_t i = 0; i < teams * stages * 2; ++i)
      NVVM::MBarrierInitOp::create(builder, loc, offset(first, i * kBarrierBytes), i32.constant(4 * groups), Value());
  });
  gpu::BarrierOp::create(builder, loc);
  barriersAt = offset(first, i32.mul(team, stages * 2 * kBarrierBytes));
}

Value WeightTiles::barrierOf(Value stage, bool isFree) {
  return offset(barriersAt, i32.add(i32.mul(stage, 2 * kBarrierBytes), isFree ? kBarrierBytes : 0));
}

/// The arrival of this warp: what its threads did before is seen by those that wait.
void WeightTiles::arrive(Value stage, bool isFree) {
  NVVM::SyncWarpOp::create(builder, loc, i32.constant(-1));
  Value barrier = barrierOf(stage, isFree);
  ifThen(i32.equal(lane, i32.constant(0)),
         [&] { NVVM::MBarrierArriveOp::create(builder, loc, builder.getI64Type(), barrier, Value()); });
}

void WeightTiles::wait(Value stage, bool isFree, Value phase) {
  NVVM::MBarrierTryWaitParityOp::create(builder, loc, barrierOf(stage, isFree), phase, i32.constant(0x989680));
}

std::pair<Value, Value> WeightTiles::after(Value stage, Value phase) {
  Value next = i32.add(stage, 1), wraps = i32.equal(next, i32.constant(stages));
  return {i32.select(wraps, i32.constant(0), next), i32.select(wraps, i32.sub(i32.constant(1), phase), phase)};
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void WeightTiles::emitIssue(Value turn, Value stage, Value phase) {
  Value to = i32.mul(stage, stageBytes);
  int64_t slices = teams * cluster;
  ifThen(i32.less(turn, turns), [&] {
    if (phase)
      wait(stage, /*isFree=*/true, phase);
    Value from = offset(codesFrom, i64.mul(i64.cast(turn), slices * layout.blockBytes()));
    for (int64_t piece = 0; piece < layout.blockBytes() / (kGroupThreads * kCopyBytes); ++piece) {
      int64_t byte = piece * kGroupThreads * kCopyBytes;
      NVVM::CpAsyncOp::create(builder, loc, offset(offset(codesTo, to), byte), offset(from, byte),
                              static_cast<uint32_t>(kCopyBytes), NVVM::LoadCacheModifierKind::CG, Value());
    }
    int64_t copiesOfLine = kBlockK / kChunk, rowsTogether = std::min(teamThreads / copiesOfLine, tokens);
    Value source = offset(tokensFrom, i64.mul(i64.cast(turn), slices * kBlockK * 2)), isInK;
    if (k % kBlockK)
      isInK = i32.less(i32.add(i32.mul(blockOf(turn), kBlockK), i32.mul(tokenChunk, kChunk)), i32.constant(k));
    std::optional<int64_t> knownM = getConstantIntValue(OpFoldResult(m));
    bool allTokens = knownM && *knownM % tokens == 0;
    auto copy = [&] {
      for (int64_t row = 0; row < tokens; row += rowsTogether) {
        Value valid = isInK, bytes;
        if (!allTokens) {
          Value isToken = i32.less(i32.add(i32.add(token0, tokenRow), row), m32);
          valid = valid ? i32.both(valid, isToken) : isToken;
        }
        if (valid)
          bytes = i32.select(valid, i32.constant(kCopyBytes), i32.constant(0));
        NVVM::CpAsyncOp::create(builder, loc, offset(offset(tokensTo, to), row * kLineBytes),
                                offset(source, row * k * 2), static_cast<uint32_t>(kCopyBytes),
                                NVVM::LoadCacheModifierKind::CG, bytes);
      }
    };
    if (rowsTogether * copiesOfLine < teamThreads)
      ifThen(i32.less(inTeam, i32.constant(rowsTogether * copiesOfLine)), copy);
    else
      copy();
  });
}

//===----------------------------------------------------------------------===//
// The loop over blocks
//===----------------------------------------------------------------------===//

/// What this thread copied for a block is there: it says so, and may read its codes.
void WeightTiles::emitArrival(Value stage) {
  NVVM::CpAsyncWaitGroupOp::create(builder, loc, static_cast<uint32_t>(stages - 3));
  // wgmma reads shared memory by another way than copies write it.
  NVVM::FenceProxyOp::create(builder, loc,
                             NVVM::ProxyKindAttr::get(builder.getContext(), NVVM::ProxyKind::async_shared),
                             NVVM::SharedSpaceAttr::get(builder.getContext(), NVVM::SharedSpace::shared_cta));
  arrive(stage, /*isFree=*/false);
}

SmallVector<Value> WeightTiles::emitLoop() {
  Sums sums(tokens / 2, f32(0));
  if (k == 0)
    return sums;
  initBarriers();
  Value zero = i32.constant(0), one = i32.constant(1);
  for (int64_t stage = 0; stage + 2 < stages; ++stage) {
    emitIssue(i32.constant(stage), i32.constant(stage), Value());
    NVVM::CpAsyncCommitGroupOp::create(builder, loc);
  }
  SmallVector<Value> biases = readBiases(zero), weights;
  emitArrival(zero);
  int64_t together = std::min(stepsPerScale(), kTogether);
  if (k > (teams * cluster - 1) * kBlockK) {
    weights = emitWeights(readWords(zero, 0, together), 0, biases);
  } else { // a team without a block has nothing to read
    SmallVector<Type> types(4 * together, builder.getI32Type());
    auto branch = scf::IfOp::create(builder, loc, types, i32.less(zero, turns), /*addThenBlock=*/true,
                                    /*addElseBlock=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&branch.getThenRegion().front());
    scf::YieldOp::create(builder, loc, emitWeights(readWords(zero, 0, together), 0, biases));
    builder.setInsertionPointToStart(&branch.getElseRegion().front());
    scf::YieldOp::create(builder, loc, SmallVector<Value>(types.size(), zero));
    weights = SmallVector<Value>(branch.getResults());
  }
  // Buffers to read and to fill, with the parities of their barriers.
  SmallVector<Value> carried{zero, zero, i32.constant(stages - 2), one};
  int64_t numBiases = biases.size(), numWeights = weights.size();
  llvm::append_range(carried, biases);
  llvm::append_range(carried, weights);
  llvm::append_range(carried, sums);
  auto loop = scf::ForOp::create(builder, loc, zero, turns, one, carried);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value turn = loop.getInductionVar();
  SmallVector<Value> values(loop.getRegionIterArgs());
  MutableArrayRef<Value> all(values);
  emitIssue(i32.add(turn, stages - 2), values[2], values[3]);
  NVVM::CpAsyncCommitGroupOp::create(builder, loc);
  auto [next, nextPhase] = after(values[0], values[1]);
  emitArrival(next);
  MutableArrayRef<Value> state = all.drop_front(4);
  auto take = [&](int64_t count) {
    MutableArrayRef<Value> taken = state.take_front(count);
    state = state.drop_front(count);
    return taken;
  };
  MutableArrayRef<Value> ofBiases = take(numBiases), ofWeights = take(numWeights);
  emitBlock(turn, values[0], values[1], next, ofBiases, ofWeights, state);
  values[0] = next, values[1] = nextPhase;
  std::tie(values[2], values[3]) = after(values[2], values[3]);
  scf::YieldOp::create(builder, loc, values);
  return Sums(loop.getResults().take_back(tokens / 2));
}

/// The block of a turn, or of the last one behind it.
Value WeightTiles::blockToRead(Value turn) {
  Value last = i32.sub(i32.max(turns, i32.constant(1)), i32.constant(1));
  return i32.min(blockOf(i32.min(turn, last)), i32.constant(llvm::divideCeil(k, kBlockK) - 1));
}

/// What zero points take off unpacked codes, two words for each: those of the first column before those of the second.
SmallVector<Value> WeightTiles::readBiases(Value turn) {
  SmallVector<Value> biases;
  for (Value column : readColumns)
    for (Value zero : emitZeros(column, blockToRead(turn), 1, kBlockK)) {
      FragmentDecoder::Bias bias = decoder.emitBias(zero);
      biases.append({bias.low, bias.high ? bias.high : bias.low});
    }
  return biases;
}
SmallVector<Value> WeightTiles::readScales(Value turn) {
  SmallVector<Value> scales;
  if (!scalesAtEnd())
    for (Value column : readColumns)
      llvm::append_range(scales, emitScales(column, blockToRead(turn), 1, kBlockK));
  return scales;
}

/// An instruction that takes values and gives them back: nothing else keeps what makes them before it and what uses
/// them behind it.
SmallVector<Value> WeightTiles::emitOrdered(StringRef instruction, ArrayRef<Value> values) {
  SmallVector<Type> types(ValueRange(values).getTypes());
  std::string outputs, inputs;
  for (auto [i, type] : llvm::enumerate(types)) {
    outputs += (i ? "," : "") + std::string(type.isF32() ? "=f" : "=r");
    inputs += "," + std::to_string(i);
  }
  Type result = types.size() == 1 ? types.front() : LLVM::LLVMStructType::getLiteral(builder.getContext(), types);
  Value given = LLVM::InlineAsmOp::create(builder, loc, TypeRange(result), values, instruction, outputs + inputs,
                                          /*has_side_effects=*/true, /*is_align_stack=*/false,
                                          LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
                    .getRes();
  if (types.size() == 1)
    return {given};
  SmallVector<Value> results;
  for (int64_t i = 0, e = types.size(); i < e; ++i)
    results.push_back(LLVM::ExtractValueOp::create(builder, loc, given, i));
  return results;
}

/// Starts the products of steps `first` to `first + count - 1` on unpacked weights, four words a step; adds to `sums`,
/// f32s, or where it is empty begins new ones.
SmallVector<Value> WeightTiles::emitProducts(ArrayRef<Value> weights, Value descriptor, int64_t first,
                                             ArrayRef<Value> sums) {
  SmallVector<Value> fenced(weights);
  llvm::append_range(fenced, sums);
  fenced = emitOrdered("wgmma.fence.sync.aligned;", fenced);
  Value acc;
  if (!sums.empty()) {
    acc = LLVM::UndefOp::create(
        builder, loc,
        LLVM::LLVMStructType::getLiteral(builder.getContext(), SmallVector<Type>(ValueRange(sums).getTypes())));
    for (int64_t i = 0, e = sums.size(); i < e; ++i)
      acc = LLVM::InsertValueOp::create(builder, loc, acc, fenced[weights.size() + i], i);
  }
  for (int64_t i = 0, count = weights.size() / 4; i < count; ++i) {
    int64_t step = first + i, stepsOfPanel = kSteps / 2;
    int64_t bytes = step / stepsOfPanel * tokens * kLineBytes + step % stepsOfPanel * Layout::kStep * 2;
    Value matrix = i64.add(descriptor, bytes / 16);
    acc = row.emit(builder, loc, acc, wordsOf(ArrayRef(fenced).slice(4 * i, 4)), matrix);
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(builder, loc);
  SmallVector<Value> results;
  for (int64_t i = 0; i < tokens / 2; ++i)
    results.push_back(LLVM::ExtractValueOp::create(builder, loc, acc, i));
  return results;
}

/// This thread's words of steps `first` to `first + count - 1` of the block in a buffer.
SmallVector<Value> WeightTiles::readWords(Value stage, int64_t first, int64_t count) {
  auto four = VectorType::get({4}, builder.getI32Type());
  int64_t perPiece = layout.stepsOfPiece(), perStep = decoder.wordsPerStep();
  Value from = offset(codesTo, i32.mul(stage, stageBytes));
  SmallVector<Value> words;
  Value piece;
  for (int64_t step = first; step < first + count; ++step) {
    if (step == first || step % perPiece == 0)
      piece = LLVM::LoadOp::create(builder, loc, four, offset(from, step / perPiece * kGroupThreads * kCopyBytes),
                                   kCopyBytes);
    for (int64_t i = 0; i < perStep; ++i)
      words.push_back(LLVM::ExtractElementOp::create(builder, loc, piece, i32.constant(step % perPiece * perStep + i)));
  }
  return words;
}

/// Unpacked words of steps from `first` on, four registers a step.
SmallVector<Value> WeightTiles::emitWeights(ArrayRef<Value> words, int64_t first, ArrayRef<Value> biases) {
  SmallVector<Value> weights;
  int64_t perStep = decoder.wordsPerStep();
  for (int64_t i = 0, count = words.size() / perStep; i < count; ++i) {
    std::array<FragmentDecoder::Bias, 2> ofRows;
    for (int64_t h = 0; h < 2; ++h) {
      int64_t at = h * biases.size() / 2 + 2 * scaleNumber(0, first + i);
      ofRows[h] = type.getZero() ? FragmentDecoder::Bias{biases[at], biases[at + 1]} : decoder.emitBias(Value());
    }
    llvm::append_range(weights, decoder.emit(ValueRange(words).slice(i * perStep, perStep), ofRows));
  }
  return weights;
}

void WeightTiles::emitBlock(Value turn, Value stage, Value phase, Value nextStage, MutableArrayRef<Value> biases,
                            MutableArrayRef<Value> weights, MutableArrayRef<Value> sums) {
  SmallVector<Value> current(weights), scales = readScales(turn), nextBiases = readBiases(i32.add(turn, 1));
  // Behind the last block there is nothing to read: its own codes are, and not used.
  Value following = i32.select(i32.less(i32.add(turn, 1), turns), nextStage, stage);
  wait(stage, /*isFree=*/false, phase);

  // Where matrices of this swizzle lie (PTX ISA 8.0, 9.7.15.5.1): address and distance of eight lines, in 16 bytes.
  Value address =
      arith::AndIOp::create(builder, loc, i32.add(tokensAt, i32.mul(stage, stageBytes)), i32.constant(0x3FFFF));
  Value descriptor = arith::OrIOp::create(builder, loc, i64.cast(i32.div(address, 16)),
                                          i64.constant(int64_t(1) << 62 | (kSwizzleBytes / 16) << 32 | 1 << 16));

  int64_t perScale = stepsPerScale(), together = std::min(perScale, kTogether);
  bool twoSets = tokens <= 64;
  SmallVector<Value> running; // sums of one scale's codes
  int64_t complete = -1;      // the scale's number once they are
  auto addScaled = [&](StringRef wait) {
    if (!wait.empty())
      running = emitOrdered(wait, running);
    auto none = LLVM::FastmathFlagsAttr::get(builder.getContext(), LLVM::FastmathFlags::none);
    for (auto [i, sum] : llvm::enumerate(sums))
      sum = LLVM::FMAOp::create(builder, loc, sum.getType(), running[i],
                                scales[i / 2 % 2 * scales.size() / 2 + complete], sum, none);
    complete = -1;
  };
  for (int64_t first = 0; first < kSteps; first += together) {
    bool begins = first % perScale == 0, ends = (first + together) % perScale == 0, isLast = first + together == kSteps;
    if (complete >= 0 && !twoSets)
      addScaled(kWaitAll);
    SmallVector<Value> products;
    if (scalesAtEnd())
      llvm::copy(emitProducts(current, descriptor, first, sums), sums.begin());
    else
      products = emitProducts(current, descriptor, first, begins ? ArrayRef<Value>() : running);
    SmallVector<Value> words =
        isLast ? readWords(following, 0, together) : readWords(stage, first + together, together);
    // The registers of the weights before these are free once their products are done.
    if (complete >= 0)
      addScaled(kWaitAllButOne);
    else if (first > 0)
      words = emitOrdered(kWaitAllButOne, words);
    running = products;
    complete = ends && !scalesAtEnd() ? scaleNumber(0, first) : -1;
    current = isLast ? emitWeights(words, 0, nextBiases) : emitWeights(words, first + together, biases);
  }
  if (scalesAtEnd())
    llvm::copy(emitOrdered(kWaitAll, sums), sums.begin());
  else
    running = emitOrdered(kWaitAll, running);
  arrive(stage, /*isFree=*/true);
  if (!scalesAtEnd())
    addScaled("");
  llvm::copy(nextBiases, biases.begin());
  llvm::copy(current, weights.begin());
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

/// Sums 4 j + c and 4 j + c + 2 of a thread are of token 8 j + 2 (t % 4) + c and of its two columns: unit 2 j + c.
void WeightTiles::emitPair(ValueRange sums, Value unit) {
  Value token = i32.add(i32.mul(i32.div(unit, 2), 8), i32.rem(unit, 2));
  token = i32.add(i32.add(token0, token), i32.mul(i32.rem(lane, 4), 2));
  auto result = [&](int64_t h) { return emitResult(sums[h], token, columns[h]); };
  auto isThere = [&](int64_t h) { return i32.both(i32.less(token, m32), i32.less(columns[h], i32.constant(n))); };
  if (n % 2 == 0) {
    ifThen(isThere(0), [&] {
      SmallVector<Value> results{result(0), result(1)};
      emitStore(results, token, columns[0]);
    });
    return;
  }
  for (int64_t h = 0; h < 2; ++h)
    ifThen(isThere(h), [&] { emitStore(result(h), token, columns[h]); });
}

void WeightTiles::emitResults(ArrayRef<Value> sums) {
  for (int64_t unit = 0; unit < tokens / 4; ++unit) {
    int64_t first = unit / 2 * 4 + unit % 2;
    emitPair(ValueRange{sums[first], sums[first + 2]}, i32.constant(unit));
  }
}

/// In shared memory: [team][unit][thread of the team] pairs. Teams of all blocks of the cluster take units in turn.
void WeightTiles::emitReduction(ArrayRef<Value> sums) {
  int64_t units = tokens / 4, parts = teams * cluster, perPart = llvm::divideCeil(units, parts);
  constexpr int64_t kPairBytes = 8;
  Value pairsAt = offset(shared, i32.mul(inTeam, kPairBytes));
  auto placeOf = [&](Value teamNumber, Value unit) {
    return i32.mul(i32.add(i32.mul(teamNumber, units), unit), teamThreads * kPairBytes);
  };
  auto clusterBarrier = [&] {
    NVVM::ClusterArriveOp::create(builder, loc, builder.getUnitAttr());
    NVVM::ClusterWaitOp::create(builder, loc, builder.getUnitAttr());
  };
  gpu::BarrierOp::create(builder, loc); // nobody copies or multiplies any more
  for (int64_t unit = 0; unit < units; ++unit) {
    int64_t first = unit / 2 * 4 + unit % 2;
    LLVM::StoreOp::create(builder, loc, wordsOf({sums[first], sums[first + 2]}),
                          offset(pairsAt, placeOf(team, i32.constant(unit))), kPairBytes);
  }
  if (cluster > 1)
    clusterBarrier();
  else
    gpu::BarrierOp::create(builder, loc);
  auto remote =
      LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  auto pair = VectorType::get({2}, builder.getF32Type());
  SmallVector<Value> blocks;
  for (int64_t other = 0; other < cluster; ++other)
    blocks.push_back(
        cluster == 1 ? pairsAt : NVVM::MapaOp::create(builder, loc, remote, pairsAt, i32.constant(other)).getResult());
  for (int64_t i = 0; i < perPart; ++i) {
    Value unit = i32.add(i32.mul(slice, perPart), i);
    auto add = [&] {
      Value sum;
      for (Value block : blocks)
        for (int64_t other = 0; other < teams; ++other) {
          Value part =
              LLVM::LoadOp::create(builder, loc, pair, offset(block, placeOf(i32.constant(other), unit)), kPairBytes);
          sum = sum ? arith::AddFOp::create(builder, loc, sum, part).getResult() : part;
        }
      SmallVector<Value> both;
      for (int64_t h = 0; h < 2; ++h)
        both.push_back(LLVM::ExtractElementOp::create(builder, loc, sum, i32.constant(h)));
      emitPair(both, unit);
    };
    if (parts * perPart == units)
      add();
    else
      ifThen(i32.less(unit, i32.constant(units)), add);
  }
  // What others read stays until they have.
  if (cluster > 1)
    clusterBarrier();
}
