//===- Ptxas.cpp - NVIDIA's assembler and disassembler ----------------------===//
//
// In: PTX, or a cubin. Out: what ptxas and nvdisasm or cuobjdump, run as child processes, make of it. They are found by
// path, else on PATH, else where the toolkit installs itself. An object does not need them: the driver assembles PTX
// too.
//
//===----------------------------------------------------------------------===//

#include "Images.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"

using namespace llvm;
using namespace qlow;
using mlir::ModuleOp;

static constexpr StringRef kToolkit = "/usr/local/cuda/bin";

/// A folder for one run, removed with what is in it.
namespace {
class Scratch {
public:
  static Expected<std::unique_ptr<Scratch>> create() {
    auto scratch = std::make_unique<Scratch>();
    if (std::error_code code = sys::fs::createUniqueDirectory("qlowc", scratch->folder))
      return createStringError("can not create a temporary folder: " + code.message());
    return scratch;
  }
  ~Scratch() {
    if (!folder.empty() && sys::fs::remove_directories(folder))
      errs() << "could not remove '" << folder << "'\n";
  }
  std::string path(StringRef name) const {
    SmallString<128> result = folder;
    sys::path::append(result, name);
    return std::string(result);
  }
  std::string read(StringRef name) const {
    auto buffer = MemoryBuffer::getFile(path(name));
    return buffer ? (*buffer)->getBuffer().str() : std::string();
  }
  Error write(StringRef name, StringRef text) const {
    std::error_code code;
    raw_fd_ostream os(path(name), code);
    if (!code) {
      os << text;
      os.close();
      code = os.error();
      os.clear_error();
    }
    return code ? createStringError("can not write '" + path(name) + "': " + code.message()) : Error::success();
  }
  /// Runs a program with its outputs in files `out` and `err`; what went wrong, or nothing.
  std::string run(StringRef program, ArrayRef<std::string> arguments) const {
    SmallVector<StringRef> all{program};
    append_range(all, arguments);
    std::string out = path("out"), err = path("err"), why;
    int status = sys::ExecuteAndWait(program, all, std::nullopt, {StringRef(""), StringRef(out), StringRef(err)},
                                     /*SecondsToWait=*/0, /*MemoryLimit=*/0, &why);
    if (status == 0)
      return "";
    std::string said = StringRef(read("err") + read("out")).trim().str();
    return !said.empty() ? said : why.empty() ? "exit code " + std::to_string(status) : why;
  }

private:
  SmallString<128> folder;
};
} // namespace

static std::string findTool(StringRef name, StringRef besides = "") {
  if (!besides.empty())
    if (auto found = sys::findProgramByName(name, {sys::path::parent_path(besides)}))
      return *found;
  if (auto found = sys::findProgramByName(name))
    return *found;
  auto found = sys::findProgramByName(name, {kToolkit});
  return found ? *found : std::string();
}

static std::string findAssembler(const ObjectOptions &options) {
  if (!options.assemble)
    return "";
  return options.assembler.empty() ? findTool("ptxas") : options.assembler;
}

/// What `ptxas -v` says of each kernel:
///
///   ptxas info    : Compiling entry function 'k' for 'sm_90a'
///   ptxas info    : Function properties for k
///       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
///   ptxas info    : Used 8 registers, used 0 barriers, 16 bytes smem, 400 bytes cmem[0]
static std::vector<KernelUse> readUses(StringRef text) {
  std::vector<KernelUse> uses;
  auto number = [](StringRef line, const char *pattern) {
    SmallVector<StringRef> parts;
    int64_t value = 0;
    if (Regex(pattern).match(line, &parts))
      (void)parts[1].getAsInteger(10, value);
    return value;
  };
  SmallVector<StringRef> lines, parts;
  text.split(lines, '\n');
  for (StringRef line : lines) {
    if (Regex("Compiling entry function '([^']*)'").match(line, &parts))
      uses.push_back({parts[1].str()});
    if (uses.empty())
      continue;
    KernelUse &use = uses.back();
    use.stackBytes = std::max(use.stackBytes, number(line, "([0-9]+) bytes stack frame"));
    use.spillBytes = std::max(use.spillBytes, number(line, "([0-9]+) bytes spill stores"));
    use.registers = std::max(use.registers, number(line, "Used ([0-9]+) registers"));
    use.sharedBytes = std::max(use.sharedBytes, number(line, "([0-9]+) bytes smem"));
  }
  return uses;
}

LogicalResult qlow::assemble(ModuleOp module, Images &images, const Machine &machine, const ObjectOptions &options) {
  std::string program = findAssembler(options);
  if (program.empty())
    return success();
  if (!sys::fs::can_execute(program))
    return module.emitError("'" + program + "' can not be run: expected the path of ptxas, or none to look for it");
  auto scratch = Scratch::create();
  if (!scratch)
    return module.emitError(toString(scratch.takeError()));
  if (Error error = (*scratch)->write("kernels.ptx", images.ptx))
    return module.emitError(toString(std::move(error)));
  std::vector<std::string> arguments = {"-arch=" + machine.tune, "-v", "-o", (*scratch)->path("kernels.cubin"),
                                        (*scratch)->path("kernels.ptx")};
  if (options.debug)
    arguments.push_back("-lineinfo");
  std::string failure = (*scratch)->run(program, arguments);
  if (!failure.empty()) {
    module.emitWarning("'" + program + "' failed, so the object has PTX only, for the driver to assemble: " + failure);
    return success();
  }
  std::string said = (*scratch)->read("err") + (*scratch)->read("out");
  SmallVector<StringRef> lines;
  StringRef(said).split(lines, '\n');
  for (StringRef line : lines)
    if (line.contains("warning") || line.contains("Performance Loss"))
      module.emitWarning(line.trim());
  images.uses = readUses(said);
  if (options.kernelUses)
    *options.kernelUses = images.uses;
  images.cubin = (*scratch)->read("kernels.cubin");
  if (!StringRef(images.cubin).starts_with(ELF::ElfMagic)) {
    images.cubin.clear();
    module.emitWarning("'" + program + "' wrote no cubin, so the object has PTX only, for the driver to assemble");
  }
  return success();
}

Expected<std::string> qlow::disassemble(const Images &images, const ObjectOptions &options) {
  std::string assembler = findAssembler(options);
  if (images.cubin.empty())
    return createStringError("instructions of the device need ptxas, which " +
                             std::string(!options.assemble   ? "is not to be run"
                                         : assembler.empty() ? "was not found"
                                                             : "failed") +
                             "; -emit=ptx writes the text that the driver assembles");
  std::string program = findTool("nvdisasm", assembler);
  bool dumps = program.empty();
  if (dumps)
    program = findTool("cuobjdump", assembler);
  if (program.empty())
    return createStringError("neither nvdisasm nor cuobjdump was found, which print a device's instructions; "
                             "-emit=ptx writes the text that the driver assembles");
  auto scratch = Scratch::create();
  if (!scratch)
    return scratch.takeError();
  if (Error error = (*scratch)->write("kernels.cubin", images.cubin))
    return std::move(error);
  std::vector<std::string> arguments;
  if (dumps)
    arguments.push_back("-sass");
  arguments.push_back((*scratch)->path("kernels.cubin"));
  std::string failure = (*scratch)->run(program, arguments);
  if (!failure.empty())
    return createStringError("'" + program + "' failed: " + failure);
  return (*scratch)->read("out");
}
