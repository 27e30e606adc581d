//===- Products.cpp - whether kernels multiply as the report says -----------===//
//
// In: a device's code, its kernels that multiply with the row that each says it uses, and the module's report. Out: an
// error where the code is without a row's instruction, and the report with what each kernel takes of the device. Reads
// text, PTX and what a disassembler prints: what compilers made of a product is nowhere else to be seen.
//
//===----------------------------------------------------------------------===//

#include "Products.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

static int64_t threadsOf(LLVM::LLVMFuncOp kernel) {
  auto sizes = kernel->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getMaxntidAttrName());
  int64_t threads = sizes ? 1 : 0;
  for (int32_t size : sizes ? sizes.asArrayRef() : ArrayRef<int32_t>())
    threads *= size;
  return threads;
}

FailureOr<std::vector<ProductKernel>> qlow::findProducts(ArrayRef<gpu::GPUModuleOp> kernels, const Target &target) {
  std::vector<ProductKernel> products;
  for (gpu::GPUModuleOp part : kernels)
    for (auto kernel : part.getOps<LLVM::LLVMFuncOp>()) {
      auto mark = kernel->getAttrOfType<DictionaryAttr>(kRowAttribute);
      if (!mark)
        continue;
      auto id = mark.getAs<StringAttr>("id");
      auto of = mark.getAs<ArrayAttr>("of");
      if (!id || !of || of.empty() || !llvm::all_of(of, llvm::IsaPred<LocationAttr>))
        return kernel.emitError() << "expected '" << kRowAttribute << "' of kernel " << kernel.getName()
                                  << " as schedules write it, {id, of}";
      const MultiplyRow *row = target.findRow(id.getValue());
      if (!row)
        return emitError(cast<LocationAttr>(of[0])) << "kernel " << kernel.getName() << " says that it multiplies by "
                                                    << id << ", which is no row of " << target.machine().name;
      auto image = kernel->getAttrOfType<StringAttr>(kImageAttribute);
      bool isPortable = image && image.getValue() != target.machine().name;
      auto ops = llvm::map_to_vector(of.getAsRange<LocationAttr>(), [](LocationAttr op) { return Location(op); });
      products.push_back(
          {ops, kernel.getName().str(), row, threadsOf(kernel), isPortable ? image.str() : std::string()});
    }
  return products;
}

//===----------------------------------------------------------------------===//
// The code of one kernel
//===----------------------------------------------------------------------===//

/// From the text behind `begin` to `end`, or to the last character; empty without `begin`.
static StringRef textBetween(StringRef text, const Twine &begin, StringRef end) {
  SmallString<64> marker;
  size_t at = text.find(begin.toStringRef(marker));
  return at == StringRef::npos ? StringRef() : text.substr(at + marker.size()).split(end).first;
}

static StringRef ptxOf(StringRef ptx, StringRef kernel) { return textBetween(ptx, ".entry " + kernel + "(", "\n}\n"); }

/// A section of nvdisasm, or a function of cuobjdump.
static StringRef machineCodeOf(StringRef text, StringRef kernel) {
  StringRef section = textBetween(text, "\n.text." + kernel + ":\n", "\n//-----");
  return section.empty() ? textBetween(text, "Function : " + kernel + "\n", "Function : ") : section;
}

/// Times that an instruction stands in a kernel's text, whatever follows its mnemonic.
static int64_t countOf(StringRef text, StringRef instruction) { return static_cast<int64_t>(text.count(instruction)); }

namespace {
/// One kernel under examination.
struct Finding {
  int64_t inAssembly = 0;
  std::optional<int64_t> inMachineCode; ///< none: not read
};
} // namespace

/// A row whose instruction the text has; of one thread's none, whose instructions compute addresses, too.
static const MultiplyRow *productIn(StringRef text, const Target &target) {
  for (const MultiplyRow *row : target.rows())
    if (row->scope != MultiplyRow::Scope::Lane && text.contains(row->assembly))
      return row;
  return nullptr;
}

static FailureOr<Finding> examine(const ProductKernel &product, const Images &images, StringRef machineCode,
                                  const Target &target) {
  const MultiplyRow &row = *product.row;
  Finding finding;
  bool isPortable = !product.portable.empty();
  StringRef ptx = ptxOf(isPortable ? images.portablePtx : images.ptx, product.name);
  finding.inAssembly = countOf(ptx, row.assembly);
  std::string said = ("the report names " + row.instruction + " (row " + row.id + ") for this op, but ").str();
  if (const MultiplyRow *other = finding.inAssembly ? nullptr : productIn(ptx, target))
    return emitError(product.ops.front()) << said << "its kernel " << product.name << " has no '" << row.assembly
                                          << "' and computes it by '" << other->assembly << "'";
  if (!finding.inAssembly) {
    emitWarning(product.ops.front()) << said << "its kernel " << product.name << " has no '" << row.assembly
                                     << "': no result depends on its sums";
    return finding;
  }
  StringRef text = machineCodeOf(machineCode, product.name);
  if (isPortable || text.empty())
    return finding;
  finding.inMachineCode = countOf(text, row.machineCode);
  if (!*finding.inMachineCode)
    emitWarning(product.ops.front()) << said << "in its kernel " << product.name << " ptxas has made no '"
                                     << row.machineCode << "' of it: the report's "
                                     << (row.isVirtual() ? "expansion" : "'native'") << " may be wrong";
  return finding;
}

//===----------------------------------------------------------------------===//
// The report
//===----------------------------------------------------------------------===//

/// "f_0 by mma_16x8x32_i32_s8_s8: 256 threads of 128 registers, 65536 shared bytes; a core holds 2 blocks, 16 of 64
/// warps, limited by registers; 64 x IMMA.16832.S8.S8 in its machine code".
static std::string summarize(const ProductKernel &product, const Finding &finding, const BlockUse &use,
                             int64_t spilledBytes, const std::optional<Occupancy> &occupancy) {
  std::string text = llvm::formatv("{0} by {1}{2}: {3} threads", product.name, product.row->id,
                                   product.portable.empty() ? "" : " for later devices", use.threads);
  if (use.registers)
    text += llvm::formatv(" of {0} registers", use.registers);
  if (spilledBytes)
    text += llvm::formatv(" and {0} bytes spilled", spilledBytes);
  text += llvm::formatv(", {0} shared bytes", use.sharedBytes);
  if (occupancy)
    text += llvm::formatv("; a core holds {0} blocks, {1} of {2} warps, limited by {3}", occupancy->blocks,
                          occupancy->warps, occupancy->mostWarps, occupancy->limit);
  if (finding.inMachineCode)
    return text +
           llvm::formatv("; {0} x {1} in its machine code", *finding.inMachineCode, product.row->machineCode).str();
  return text + llvm::formatv("; {0} x {1} in its PTX", finding.inAssembly, product.row->assembly).str();
}

/// What the report says of a kernel.
static DictionaryAttr describe(Builder &b, const ProductKernel &product, const Finding &finding, const Images &images,
                               const AbiModule &abi, const Target &target) {
  NamedAttrList fields;
  auto add = [&](StringRef key, int64_t value) { fields.set(key, b.getI64IntegerAttr(value)); };
  fields.set("name", b.getStringAttr(product.name));
  fields.set("row", b.getStringAttr(product.row->id));
  fields.set("assembly", b.getStringAttr(product.row->assembly));
  add("in_assembly", finding.inAssembly);
  if (finding.inMachineCode) {
    fields.set("machine_code", b.getStringAttr(product.row->machineCode));
    add("in_machine_code", *finding.inMachineCode);
  }
  BlockUse use{product.threads, 0, 0};
  int64_t spilledBytes = 0;
  for (const AbiKernel &kernel : abi.device->kernels)
    if (kernel.name == product.name)
      use.sharedBytes = kernel.sharedBytes;
  for (const KernelUse &known : images.uses)
    if (known.name == product.name) {
      use.registers = known.registers;
      use.sharedBytes += known.sharedBytes;
      spilledBytes = known.spillBytes;
      add("registers", known.registers);
      add("spilled_bytes", spilledBytes);
    }
  add("threads", use.threads);
  add("shared_bytes", use.sharedBytes);
  // Later devices are not known.
  std::optional<Occupancy> occupancy;
  if (product.portable.empty())
    occupancy = target.family().occupancy(use, target.machine());
  else
    fields.set("portable", b.getStringAttr(product.portable));
  if (occupancy) {
    add("resident_blocks", occupancy->blocks);
    add("resident_warps", occupancy->warps);
    add("most_warps", occupancy->mostWarps);
    fields.set("occupancy_limit", b.getStringAttr(occupancy->limit));
  }
  fields.set("summary", b.getStringAttr(summarize(product, finding, use, spilledBytes, occupancy)));
  return fields.getDictionary(b.getContext());
}

/// Gives each entry of the report the kernels of its op, one of which multiplies by the row it names.
static LogicalResult addToReport(ModuleOp module, ArrayRef<ProductKernel> products, ArrayRef<Attribute> descriptions) {
  auto report = module->getAttrOfType<ArrayAttr>("qlow.report");
  if (!report)
    return success();
  SmallVector<Attribute> entries;
  for (Attribute attribute : report) {
    auto entry = dyn_cast<DictionaryAttr>(attribute);
    auto loc = entry ? entry.getAs<LocationAttr>("loc") : LocationAttr();
    auto row = entry ? entry.getAs<StringAttr>("row") : StringAttr();
    SmallVector<Attribute> mine;
    bool isReached = false;
    for (auto [product, description] : llvm::zip(products, descriptions))
      if (loc && llvm::is_contained(product.ops, Location(loc))) {
        mine.push_back(description);
        isReached |= row && product.portable.empty() && product.row->id == row.getValue();
      }
    // An op whose result nobody wanted has no kernel.
    if (mine.empty()) {
      entries.push_back(attribute);
      continue;
    }
    if (!isReached)
      return emitError(loc) << "the report names row " << row << " for this op, and none of its kernels has it";
    NamedAttrList fields(entry);
    fields.set("kernels", ArrayAttr::get(module.getContext(), mine));
    entries.push_back(fields.getDictionary(module.getContext()));
  }
  module->setAttr("qlow.report", ArrayAttr::get(module.getContext(), entries));
  return success();
}

LogicalResult qlow::checkProducts(ModuleOp module, std::vector<ProductKernel> products, const Images &images,
                                  const AbiModule &abi, const Target &target, const ObjectOptions &options) {
  // Only an object has an image for later devices.
  if (images.portablePtx.empty())
    llvm::erase_if(products, [](const ProductKernel &product) { return !product.portable.empty(); });
  if (products.empty() || images.ptx.empty())
    return success();
  std::string machineCode;
  if (!images.cubin.empty()) {
    // Without a disassembler PTX is all there is to read.
    if (auto text = disassemble(images, options))
      machineCode = std::move(*text);
    else
      llvm::consumeError(text.takeError());
  }
  Builder b(module.getContext());
  SmallVector<Attribute> descriptions;
  for (const ProductKernel &product : products) {
    FailureOr<Finding> finding = examine(product, images, machineCode, target);
    if (failed(finding))
      return failure();
    descriptions.push_back(describe(b, product, *finding, images, abi, target));
  }
  return addToReport(module, products, descriptions);
}
