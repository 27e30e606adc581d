//===- Targets.h - machines, instruction rows and families ------*- C++ -*-===//
//
// A target is a machine (a JSON description: facts about one chip), the rows of its family (facts about instructions)
// and the family's schedules (loop nests). Availability is derived: a row is there when the machine has its features.
// Nothing here knows a number format by name or an op's meaning.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TARGETS_TARGETS_H
#define QLOW_TARGETS_TARGETS_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qlow {

//===----------------------------------------------------------------------===//
// Machines
//===----------------------------------------------------------------------===//

/// What costs are counted in. Capacities are uses per cycle of one core; bytes per cycle for Memory and L2.
enum class Resource { Memory, L2, Load, Multiply, Alu, Shuffle };
constexpr unsigned kNumResources = 6;
llvm::StringRef resourceName(Resource resource);

/// Uses of each resource class.
using ResourceVector = std::array<double, kNumResources>;

/// One chip, as its JSON file in lib/Targets/Machines (or the user's) describes it.
struct Machine {
  std::string name;
  std::string description;
  std::string family;                ///< which rows and schedules apply
  std::string triple;                ///< of LLVM
  std::string tune;                  ///< LLVM processor name for instruction scheduling; decides no feature
  std::string host = "generic";      ///< target of the code that starts kernels, where the machine is a device
  std::string portable;              ///< target whose code later devices run, where they do not run this one's
  std::vector<std::string> features; ///< LLVM feature names the code may use, sorted
  double clockGHz = 0;
  int64_t cores = 1; ///< that one kernel runs on
  int64_t vectorBits = 0, vectorRegisters = 0;
  struct Level {
    std::string name;
    int64_t bytes; ///< of one core; 0: not a cache
  };
  std::vector<Level> levels; ///< from the registers outwards; recipes name them
  /// What blocks of threads share that are on one core at a time; all 0 where kernels do not run in blocks.
  struct Residents {
    int64_t warps = 0, blocks = 0; ///< at most
    int64_t registers = 0;         ///< of all threads
    int64_t shared = 0;            ///< bytes of shared memory of all blocks...
    int64_t reserved = 0;          ///< ...of which each takes these beside its own
  } residents;
  ResourceVector capacity{}; ///< 0: the machine lacks it

  bool hasFeature(llvm::StringRef feature) const;
  int64_t levelBytes(llvm::StringRef level) const;
};

/// Reads and checks a description. `lookup` finds the text of an inherited machine; errors carry file and line.
llvm::Expected<Machine> parseMachine(llvm::StringRef text, llvm::StringRef fileName,
                                     llvm::function_ref<llvm::Expected<std::string>(llvm::StringRef)> lookup);
/// The description as JSON with everything inherited filled in.
std::string printMachine(const Machine &machine);

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// What a multiply instruction reads. B1 is a sign: 0 is -1, 1 is +1. E8M0 are scales alone.
enum class OperandElement { B1, U4, S4, U8, S8, S16, S32, E2M1, E4M3, E5M2, E8M0, F16, BF16, F32 };
unsigned elementBits(OperandElement element);
/// Of elements of whole bytes alone.
unsigned elementBytes(OperandElement element);
llvm::StringRef elementName(OperandElement element);
/// The element that codes of a format are, as they lie, where it is a float of 4 or 8 bits that instructions multiply;
/// none for other formats.
std::optional<OperandElement> smallFloatOf(const Format &format);
/// What the scales of a type are to an instruction that takes them as they lie, where all but one factor of the tensor
/// is in them: E8M0 or E4M3; none for others.
std::optional<OperandElement> scaleElementOf(QType type);
/// Codes under one scale along a type's last dimension, or along the one before it; 0: all, or no codes (null).
int64_t codesUnderOneScale(QType type, bool alongLast);
/// The format of plain scales, or of codes that are E4M3 under one scale of the tensor (`isScaled`); null: of others.
struct ScaleCodes {
  const Format *format = nullptr;
  bool isScaled = false;
};
ScaleCodes scaleCodesOf(QType type);
/// Binary digits that hold a code less its zero point (`zero`: its format, null for none); those of a product with a
/// scale are the sum of both factors' at most, a power of two has none. None of codebooks, whose values are any f32.
std::optional<int64_t> significantBits(const Format &format, const Format *zero);
int64_t significantBitsOfScale(const Format &scale);
/// The element that codes of a format are, as they lie; none where instructions take no such codes.
std::optional<OperandElement> codeElement(const Format &format);

/// Scales of a side as a warp's instruction takes them: each lane has a word of four, of which those of the product
/// begin at a byte, in a part of each four lanes.
struct ScaleWord {
  mlir::Value word;
  int64_t byte, part;
};

/// One way to multiply: D[m, n] += sum_k A[m, k] * B[k, n] on vectors of n accumulators.
struct MultiplyRow {
  llvm::StringRef id;          ///< <isa>_<M>x<N>x<K>_<acc>_<lhs>_<rhs>[_via_<what>]
  llvm::StringRef instruction; ///< as a disassembler prints it
  int64_t m, n, k;
  int64_t kGroup; ///< of k, that lie together where operands are stored; 0: all of the row's
  int64_t nGroup; ///< of n, that a stored panel has a multiple of; 0: the row's
  /// Who computes it together: one thread, or 32, or 128 that wait for an asynchronous unit.
  enum class Scope { Lane, Warp, Warpgroup } scope;
  OperandElement lhs, rhs; ///< the values it takes
  OperandElement storedLhs,
      storedRhs;                ///< how operands lie in memory, the k of one n together; rhs is widened when loaded
  int32_t lhsOffset, rhsOffset; ///< stored value = value - offset: one signedness computed by another, exactly
  bool isFloat;                 ///< accumulates f32, else i32 wrapping mod 2^32
  /// Of k, after which sums are added to others in f32 since the instruction's own keep fewer bits than f32; 0: never,
  /// or it does so itself.
  int64_t promotion;
  /// Of signs: whether sums count the k where both are +1. Else it is those where they differ, and the sum of products
  /// is K less twice as many.
  bool countsCommon;
  int64_t scaledTogether;    ///< of k under one scale, where it multiplies both sides by theirs; 0: it takes no scales
  OperandElement scales;     ///< those that it takes
  llvm::StringRef expansion; ///< what it is made of where the machine has not the instruction itself; empty: it has
  /// Of a device: how its assembly spells the instruction, and how its machine code spells what does the work.
  std::string assembly, machineCode;
  bool lhsInRegisters; ///< a warpgroup's left operand is what its threads hold
  bool sumsInMemory;   ///< a warpgroup's sums lie in a memory of the unit, from which its threads load them
  bool rhsByColumns;   ///< takes a right side whose columns lie side by side, else its k do
  bool isFast;         ///< keeps fewer bits all along K: within the law's bound of fast sums only
  std::vector<llvm::StringRef> features; ///< all of them needed
  llvm::StringRef lostWith;              ///< a feature of machines that the row is not for any more; empty: none
  unsigned temporaries;                  ///< registers it needs beside accumulators and operands
  ResourceVector uses;                   ///< of one instruction
  /// acc; lhs and rhs as vectors of n * k elements of storedLhs (S16 and S32 rows widen rhs first), a warp's as the
  /// words each thread holds, a warpgroup's as descriptors of shared memory. Where a product may be a sum of its own, a
  /// null acc begins one.
  mlir::Value (*emit)(mlir::OpBuilder &, mlir::Location, mlir::Value acc, mlir::Value lhs, mlir::Value rhs);
  /// The same where sums lie in memory: starts a product there, added to what lies there where `adds` (i1) says so.
  void (*emitStart)(mlir::OpBuilder &, mlir::Location, mlir::Value sums, mlir::Value adds, mlir::Value lhs,
                    mlir::Value rhs);
  /// The same where it takes scales.
  mlir::Value (*emitScaled)(mlir::OpBuilder &, mlir::Location, mlir::Value acc, mlir::Value lhs, mlir::Value rhs,
                            ScaleWord lhsScales, ScaleWord rhsScales);

  int64_t storedGroup() const { return kGroup ? kGroup : k; }
  int64_t storedColumns() const { return nGroup ? nGroup : n; }
  /// Whether the arithmetic itself is emulated, by the same instruction on shifted values or by others.
  bool isVirtual() const { return lhsOffset || rhsOffset || !expansion.empty(); }
  bool takesSigns() const { return lhs == OperandElement::B1; }
  /// Whether it multiplies codes of small floats: their scales are applied to the sums, unless it takes them.
  bool takesSmallFloats() const {
    return lhs == OperandElement::E2M1 || lhs == OperandElement::E4M3 || lhs == OperandElement::E5M2;
  }
  bool takesScales() const { return scaledTogether != 0; }
};
/// Least and greatest integer of an element.
std::pair<int32_t, int32_t> elementRange(OperandElement element);

//===----------------------------------------------------------------------===//
// Selection
//===----------------------------------------------------------------------===//

/// One side of a matmul as selection sees it.
struct OperandFacts {
  int32_t min = 0, max = 0; ///< range of its integer image; of no meaning where the sum is f32
  double bytes = 4;         ///< of one element as the model stores it
  bool isWhole = true;      ///< elements lie as whole bytes or f32 and need no decoding
  bool isConstant = false;  ///< known at compile time: may be stored as the target likes
  bool isTransposed = false;
  bool hasZeroPoint = false;
  const Format *zeroFormat = nullptr; ///< null: no zero points
  bool hasOffset = false;
  const Format *format = nullptr;               ///< of its codes; null: floats, of this element
  OperandElement element = OperandElement::F32; ///< of no meaning where there are codes
  int64_t scaledTogether = 0;                   ///< codes along K under one scale; 0: all
  ScaleCodes scales;
  std::optional<OperandElement> scaleElement; ///< see scaleElementOf
  /// Of the magnitudes of finite scales of up to 16 bits that are known: the least above 0 and the greatest; else 0.
  /// Of a right side for whose scales the family asks, see Family::asksForScales.
  double leastScale = 0, mostScale = 0;
  bool hasScaleOfZero = false;     ///< among these
  int64_t linesScaledTogether = 0; ///< the same along M, or N
  mlir::Type unpacked;             ///< see unpackedElement; of a left side alone
};

/// Whether the row multiplies a side's elements as the model stores them, where it takes `element` on that side: else
/// they are dequantized, decoded or widened on their way. Bytes that a row widens while it loads them count as its own:
/// its right side is stored as bytes.
bool multipliesAsStored(const MultiplyRow &row, OperandElement element, const OperandFacts &facts);

/// One matmul as selection sees it; sizes that the model leaves open are estimates.
struct MatmulProblem {
  double batch, m, n, k;
  std::optional<int64_t> knownM, knownN, knownK;
  OperandFacts lhs, rhs;
  double resultBytes; ///< of an element as the kernel stores it, behind the epilogue: at least one
  bool exactSum;      ///< i32 sums that must equal the law's
  bool fastSums;      ///< the law's bound is that of fast sums
};

/// One way to compute a problem, or why it can not be taken.
struct Candidate {
  const MultiplyRow *row;
  std::string declined; ///< empty: possible
  RecipeAttr recipe;
  std::string unfolded; ///< of a row that unpacks codes: why scales can not meet them; empty: they can
  ResourceVector uses{};
  double cycles = 0; ///< of the resource that limits
  Resource limit = Resource::Memory;
  double key = 0; ///< what candidates are ordered by, then the row's place in its list
  /// What packing the right side uses where the program does it, before sums over it begin.
  ResourceVector packing{};
  double packingCycles = 0, packingKey = 0;
  bool packsOnce = false; ///< into memory, for all matmuls that read it there
  /// Equal keys are equal stored layouts of the right side, in the same place, beside left sides that all are unpacked
  /// in memory, or none.
  std::string layout;
  /// What else a report should say of the kernel: names and numbers.
  std::vector<std::pair<llvm::StringRef, double>> figures;
};

/// Fills cycles, limit and key, and those of packing: max over classes of uses / capacity, + 0.1 of their sum, which
/// breaks ties where all candidates wait for memory.
void score(Candidate &candidate, const Machine &machine);

//===----------------------------------------------------------------------===//
// Families and targets
//===----------------------------------------------------------------------===//

class Target;

/// What one block of a kernel takes of a core.
struct BlockUse {
  int64_t threads = 0;
  int64_t registers = 0; ///< of a thread; 0: not known
  int64_t sharedBytes = 0;
};
/// How many such blocks a core holds at a time.
struct Occupancy {
  int64_t blocks = 0, warps = 0; ///< warps: of all of them
  int64_t mostWarps = 0;         ///< that a core holds of any kernel
  llvm::StringRef limit;         ///< what is used up first
};

/// On a launch, then on its kernel: {id, of}, the row that it multiplies by and the locations of the ops it
/// computes.
constexpr llvm::StringLiteral kRowAttribute = "qlow.row";

/// Float work that some machines do in hardware and others need a library, or longer code, for.
enum class FloatUnit {
  Round, ///< to an integer in f32 and f64: floor, ceil, truncate, to nearest even
  Half,  ///< f16 <-> f32
  Brain, ///< f32 -> bf16, subnormal numbers too; and values of bf16 are what registers hold
  Fma,   ///< fused multiply-add of f32 and f64
};

/// What plain loops over tensors are made to fit, on a device, where they become launches.
struct LaunchFacts {
  int64_t subgroup = 1;  ///< threads that run in step and hand each other values
  int64_t block = 1;     ///< threads of a block: any kernel has registers for as many, and memory's latency is hidden
  int64_t loadBytes = 1; ///< of a thread's widest load; at most what buffers are aligned to
  /// Bytes of tensors and numbers, as parameters, that a kernel which is fused of several ops is given.
  int64_t parameterBytes = std::numeric_limits<int64_t>::max();
  int64_t scheduleBytes = 0; ///< of these, what a product's schedule may add
};

/// Instruction rows and schedules of one kind of machine.
class Family {
public:
  virtual ~Family() = default;
  virtual llvm::StringRef name() const = 0;
  virtual llvm::ArrayRef<MultiplyRow> rows() const = 0;
  /// All rows as candidates for a problem with its M, those that decline with the reason.
  virtual std::vector<Candidate> candidates(mlir::MLIRContext *context, const MatmulProblem &problem,
                                            const Target &target) const = 0;
  /// Whether candidates depend on the magnitudes of the right side's scales. To find them, all of a constant's scales
  /// are read, of which a large model has millions: only families that ask are told.
  virtual bool asksForScales(const MatmulProblem &problem) const { return false; }
  /// Bytes of scratch that one task of the kernel needs, as an index value computed from the kernel's sizes; a multiple
  /// of 64. The builder stands before the kernel.
  virtual mlir::Value emitSlotBytes(mlir::OpBuilder &builder, MatmulKernelOp kernel, const Machine &machine) const = 0;
  /// Replaces a bufferized kernel by loops; its scratch holds one slot for each task it may start.
  virtual mlir::LogicalResult schedule(mlir::RewriterBase &rewriter, MatmulKernelOp kernel,
                                       const Machine &machine) const = 0;
  /// Whether a kernel by the recipe can quantize its result to `type`, a tensor of `!qlow.q`, as it measures it: the
  /// kernel form with that `out_type`.
  virtual bool measuresResult(RecipeAttr recipe, mlir::RankedTensorType type) const { return false; }
  /// Whether kernels by all of the recipes can.
  bool measuresResult(RecipesAttr recipes, mlir::RankedTensorType type) const;
  /// Cycles of so many kernels of a device beside that of a product, which read and write so many bytes.
  virtual double passCycles(double kernels, double bytes, const Machine &machine) const { return 0; }
  /// Whether kernels run on a device apart from the processor that starts them: all loops over tensors become launches.
  virtual bool runsOnDevice() const { return false; }
  virtual LaunchFacts launchFacts(const Machine &machine) const { return {}; }
  /// Adds the dialects of what schedules write, beside those of loops, vectors, memory and LLVM.
  virtual void registerDialects(mlir::DialectRegistry &registry) const {}
  /// Names of the passes that bring a device's kernels to the LLVM dialect, in order. They run on each gpu.module.
  virtual llvm::ArrayRef<llvm::StringRef> kernelPasses() const { return {}; }
  /// The same for a bufferized pack, whose width bounds the tasks. Families whose candidates pack nothing at run time
  /// have an error for it.
  virtual mlir::LogicalResult schedule(mlir::RewriterBase &rewriter, PackOp pack, const Machine &machine) const;
  /// Of a device's kernel; none where the machine's description does not say what blocks share.
  virtual std::optional<Occupancy> occupancy(const BlockUse &use, const Machine &machine) const { return std::nullopt; }
  virtual bool hasNative(FloatUnit unit, const Machine &machine) const { return false; }
  /// Where ranges of M end that are worth recipes of their own where M is open: a single row streams weights, more rows
  /// share them.
  virtual llvm::ArrayRef<int64_t> rangeBounds(const MatmulProblem &problem) const {
    static constexpr int64_t kBounds[] = {1};
    return kBounds;
  }
  /// Features of the machine that a program has to ask for before it runs the family's code; empty where any machine of
  /// the triple has them.
  virtual std::vector<llvm::StringRef> checkedFeatures(const Machine &machine) const { return {}; }
  /// Asks the processor and its system for all of them: an i1. The builder is at the end of a block of an LLVM
  /// function, which runs on any machine of the triple; it is left at the end of the block that has the answer. Not
  /// called where there is nothing to ask for.
  virtual mlir::Value emitFeatureCheck(mlir::ImplicitLocOpBuilder &builder, const Machine &machine) const { return {}; }
  /// A feature of the machine that no check can ask for and that not every machine of the triple has; empty if none.
  virtual llvm::StringRef uncheckedFeature(const Machine &machine) const { return {}; }
};

/// The families, one exported function each.
const Family &genericFamily();
const Family &x86Family();
const Family &nvptxFamily();
/// All of them.
llvm::ArrayRef<const Family *> families();

class Target {
public:
  /// By registered name or by path of a JSON file (anything that ends in .json).
  static llvm::Expected<std::shared_ptr<const Target>> find(llvm::StringRef nameOrPath);
  /// Registered names, in documentation order.
  static std::vector<llvm::StringRef> names();

  const Machine &machine() const { return description; }
  const Family &family() const { return *kind; }
  /// Every row this target could have: its family's, then for processors the generic ones that close every list.
  std::vector<const MultiplyRow *> rows() const;
  bool hasFeature(llvm::StringRef feature) const { return description.hasFeature(feature); }
  /// Which feature the row needs and the machine lacks; empty if none.
  std::string missing(const MultiplyRow &row) const;
  /// The row of that id, or null.
  const MultiplyRow *findRow(llvm::StringRef id) const;

private:
  Machine description;
  const Family *kind = nullptr;
};

/// On a launch and its kernel: the machine whose image alone has it, where not all images do.
constexpr llvm::StringLiteral kImageAttribute = "qlow.image";

/// Target::find, whose error is one at the op.
llvm::FailureOr<std::shared_ptr<const Target>> findTarget(mlir::Operation *op, llvm::StringRef nameOrPath);

} // namespace qlow

#endif // QLOW_TARGETS_TARGETS_H
