//===- FragmentDecoder.h - words of codes to floats or bytes ----*- C++ -*-===//
//
// The decode hop of weights that are stored as fragments (Layout.h): what it costs, what it needs, and its code.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_FRAGMENTDECODER_H
#define QLOW_LIB_TARGETS_NVPTX_FRAGMENTDECODER_H

#include "NVPTX/WordBuilder.h"
#include "qlow/Targets/Targets.h"

namespace qlow {

/// The decode hop from words of codes to fragments of 16-bit floats or bytes. The number of a code is its float, or
/// byte, times `factor`.
class FragmentDecoder : WordBuilder {
public:
  /// Why there is no hop from such codes to `element`; empty if there is one.
  static std::string decline(const Format &format, OperandElement element);
  /// Whether `element` holds all differences of codes and zero points.
  static bool holdsDifferences(const Format &format, const Format &zeroFormat, OperandElement element);
  /// The hop's word in recipes.
  static llvm::StringRef hop(const Format &format, OperandElement element);
  /// Why scales of such a format can not be multiplied into the numbers, as far as formats tell; empty if they can:
  /// where no product is rounded, or into f16, which rounds what `dequantize` rounds. Of scales that are codes
  /// themselves, these meet numbers, and the tensor's scale sums. `zero`: format of zero points, null: none.
  static std::string declineFold(const Format &format, const Format *zero, ScaleCodes scales, OperandElement element);
  /// The same of scales from `least` to `most`, or 0; both 0 where they are not known. No product overflows.
  static std::string declineFold(const Format &format, const Format *zero, ScaleCodes scales, OperandElement element,
                                 double least, double most);
  /// Whether such scales are powers of two, which meet numbers where a bias is taken off, and not behind it.
  static bool arePowers(const Format &scale);
  /// Codes of scales are divided by this power of two, so that no product overflows; sums are multiplied by it.
  static int64_t powerOfCodes(const Format &format, const Format *zero, ScaleCodes scales, OperandElement element);
  /// Whether scales that round may meet codes in one operation, as far as formats tell, and up to which scale.
  static bool fusesScales(const Format &format, const Format *zero, ScaleCodes scales, OperandElement element);
  static constexpr double kMostFused = 65504.0 / (1 << 21);
  /// The hop's word then.
  static constexpr llvm::StringRef kFusedHop = "decode_fused";
  /// Integer operations that unpack one code, with the table where the way has one, or a spread one.
  static double aluPerCode(const Format &format, OperandElement element, bool hasTable, bool isSpread = false);

  /// Bytes of shared memory of a table that makes the hop faster: all pairs of codes, a copy for each lane. In a spread
  /// one entries are twice as far apart, and a lookup needs one operation instead of two.
  static int64_t tableBytes(const Format &format, OperandElement element, bool isSpread = false);

  /// `zeroFormat`: of zero points, null for none.
  FragmentDecoder(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, const Format *zeroFormat,
                  OperandElement element);

  /// Writes the table, where the way has one; the block's threads (`thread` of `threads`, i32) wait for each other
  /// before they use it. One of `permuted` words does without it, 0: none: threads compute while others look up.
  void emitTable(mlir::Value sharedMemory, mlir::Value thread, int64_t threads, mlir::Value lane, int64_t permuted,
                 bool isSpread = false);

  float factor() const { return unit; }
  /// What multiplies numbers: nothing; powers of two, or 1 and 0, in the operation that takes off a bias; other scales,
  /// whose products may be rounded, behind it; or these in one operation for all.
  enum class Multiplier { None, Exact, Rounded, Fused };
  /// Scales are divided by 2 to the `power`.
  void setMultiplier(Multiplier kind, int64_t power = 0) { multiplierKind = kind, multiplierPower = power; }
  /// Words that hold a thread's codes of one step.
  int64_t wordsPerStep() const { return (element ? 8 : 16) * format.bits / 32; }
  /// What `emit` takes off the codes of one row of the instruction: two copies of (zero point - least integer) in the
  /// forms it needs. `zero`, i32 in the format's integers, null for none.
  /// Where there is a multiplier (see below), it has them multiplied, too; fused, it has the least integer times the
  /// scale, which is added, in `high` alone.
  struct Bias {
    mlir::Value low = {}, high = {}, multiplier = {};
  };
  /// `isSecond`, i1: whether it is for rows g + 8, which fused multipliers ask for.
  Bias emitBias(mlir::Value zero, mlir::Value multiplier = {}, mlir::Value isSecond = {});
  /// The words of a bias that are no constants, and how many these are.
  llvm::SmallVector<mlir::Value> wordsOf(const Bias &bias);
  Bias biasOf(llvm::ArrayRef<mlir::Value> words);
  static int64_t wordsOfBias(const Format &format, OperandElement element, bool hasZero, Multiplier multiplier);
  /// Two copies of a scale times `factor`, less the power, one that declineFold() has found right.
  mlir::Value emitMultiplier(mlir::Value scale);
  /// Where a multiplier is 1 or 0 this is the 1; the 0 is one.
  mlir::Value emitOne();
  /// The four registers of a step: row g, row g + 8, and both again half a step on.
  llvm::SmallVector<mlir::Value> emit(mlir::ValueRange words, const std::array<Bias, 2> &biases);

private:
  enum class Way { Nibble, Byte, Minifloat, TakenApart, Lookup, NibbleToByte, ByteToByte };
  static std::optional<Way> wayOf(const Format &format, OperandElement element);
  static float unitOf(const Format &format, const Format *zero, OperandElement element);
  static double greatestOf(const Format &format, const Format *zero);
  Bias emitSubtrahend(mlir::Value zero);
  llvm::SmallVector<mlir::Value> emitNumbers(mlir::ValueRange words, const std::array<Bias, 2> &biases);

  // FragmentNumbers.cpp
  mlir::Value lessBias(mlir::Value number, const Bias &bias);
  llvm::SmallVector<mlir::Value> emitNibbles(mlir::Value word, const std::array<Bias, 2> &biases);
  llvm::SmallVector<mlir::Value> emitFused(mlir::Value word, const std::array<Bias, 2> &biases);
  mlir::Value emitByte(mlir::Value pair, const Bias &bias);
  mlir::Value emitBytes(mlir::Value word, bool areUpper, const Bias &bias);
  llvm::SmallVector<mlir::Value> emitMinifloats(mlir::ValueRange words), emitTakenApart(mlir::Value word);
  llvm::SmallVector<mlir::Value> emitLookups(mlir::Value word), emitPermutes(mlir::Value word);
  std::optional<int64_t> zeroCode();
  bool usesZeroCode() { return way == Way::Lookup && zeroCode(); }
  mlir::Value withoutZeros(mlir::Value word, const std::array<Bias, 2> &biases);

  const Format &format;
  Way way;
  float unit = 1;
  bool hasZero;
  Multiplier multiplierKind = Multiplier::None;
  int64_t multiplierPower = 0;
  bool hasSmallBiases = false;      ///< zero points less the least integer are from 0 to 63
  std::array<uint16_t, 16> table{}; ///< of Lookup
  mlir::Value pairsAt, laneByte;    ///< of Lookup: where the table lies, and the lane's byte in an entry
  int64_t permuted = 0;             ///< one of so many words is not looked up there
  bool isSpread = false;            ///< the table
  int64_t numWords = 0;             ///< unpacked so far
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_FRAGMENTDECODER_H
