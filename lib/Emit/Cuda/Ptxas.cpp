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
#include "llvm/Object/ELF.h"
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
/// The longest that a program is waited for. ptxas takes seconds, and some minutes for hundreds of large kernels.
static constexpr unsigned kMostMinutes = 10;

namespace {
/// What went wrong with a program; nothing if all went well.
struct Failure {
  std::string text;
  bool isLate = false; ///< it was stopped when its time was over
};

/// A folder for one run, removed with what is in it.
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
  /// Runs a program with its outputs in files `out` and `err`.
  Failure run(StringRef program, ArrayRef<std::string> arguments) const {
    SmallVector<StringRef> all{program};
    append_range(all, arguments);
    std::string out = path("out"), err = path("err"), why;
    int status = sys::ExecuteAndWait(program, all, std::nullopt, {StringRef(""), StringRef(out), StringRef(err)},
                                     /*SecondsToWait=*/60 * kMostMinutes, /*MemoryLimit=*/0, &why);
    if (status == 0)
      return {};
    if (status == -2 && StringRef(why).starts_with("Child timed out")) // -2 is also that of a crash
      return {"it had not ended after " + std::to_string(kMostMinutes) + " minutes, and was stopped", true};
    std::string said = StringRef(read("err") + read("out")).trim().str();
    return {!said.empty() ? said : why.empty() ? "exit code " + std::to_string(status) : why};
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

/// What is wrong with a cubin, which may be no ELF file, or lack its end; nothing if it is whole.
static std::string findDamage(StringRef cubin) {
  if (cubin.empty())
    return "the file is not there, or empty";
  auto file = object::ELF64LEFile::create(cubin);
  if (!file)
    return toString(file.takeError());
  const object::ELF64LE::Ehdr &header = file->getHeader();
  if (!header.checkMagic() || header.getFileClass() != ELF::ELFCLASS64 || header.e_machine != ELF::EM_CUDA)
    return "expected an ELF file of 64 bits for CUDA";
  auto sections = file->sections();
  if (!sections)
    return toString(sections.takeError());
  if (sections->empty())
    return "it has no sections";
  for (const object::ELF64LE::Shdr &section : *sections) {
    if (section.sh_type == ELF::SHT_NOBITS) // takes no room in the file
      continue;
    if (auto contents = file->getSectionContents(section); !contents)
      return toString(contents.takeError());
  }
  auto segments = file->program_headers(); // which lie behind all sections
  if (!segments)
    return toString(segments.takeError());
  for (const object::ELF64LE::Phdr &segment : *segments)
    if (segment.p_offset > cubin.size() || segment.p_filesz > cubin.size() - segment.p_offset)
      return "a segment reaches over the end of the file";
  return "";
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
  Failure failure = (*scratch)->run(program, arguments);
  // The driver would take as long, in the program that loads the object.
  if (failure.isLate)
    return module.emitError("'" + program + "' failed: " + failure.text + "; give the path of another ptxas with " +
                            "-ptxas=PATH, or leave assembling to the driver with --no-ptxas");
  if (!failure.text.empty()) {
    module.emitWarning("'" + program +
                       "' failed, so the object has PTX only, for the driver to assemble: " + failure.text);
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
  if (std::string damage = findDamage(images.cubin); !damage.empty()) {
    module.emitWarning("'" + program +
                       "' wrote no cubin, so the object has PTX only, for the driver to assemble: " + damage);
    images.cubin.clear();
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
  if (Failure failure = (*scratch)->run(program, arguments); !failure.text.empty())
    return createStringError("'" + program + "' failed: " + failure.text);
  return (*scratch)->read("out");
}
