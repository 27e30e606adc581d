//===- Header.cpp - the C header of a module ---------------------------------===//
//
// In: the record. Out: text that C99 and C++ compilers accept without a warning, every field documented with its shape,
// element type and quantization. The text depends on the record alone, so equal models give equal headers.
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace qlow;
using llvm::StringRef;

namespace {
struct Code {
  AbiCode code;
  StringRef name, meaning;
};
} // namespace

static constexpr Code kCodes[] = {
    {AbiCode::Ok, "OK", "done"},
    {AbiCode::Null, "E_NULL", "a pointer is NULL"},
    {AbiCode::Size, "E_SIZE", "a size is out of its range"},
    {AbiCode::Align, "E_ALIGN", "a pointer is not aligned"},
    {AbiCode::Workspace, "E_WORKSPACE", "the workspace is too small"},
    {AbiCode::Cpu, "E_CPU", "the processor lacks an instruction set the code uses"},
    {AbiCode::Version, "E_VERSION", "the args struct has another size: header and object differ"},
    {AbiCode::Driver, "E_DRIVER", "the driver is not there, or too old"},
    {AbiCode::Device, "E_DEVICE", "no device, no context, a device the code is not for, or one that is not loaded"},
    {AbiCode::Memory, "E_MEMORY", "the device is out of memory"},
    {AbiCode::Load, "E_LOAD", "the driver did not take the kernels"},
    {AbiCode::Launch, "E_LAUNCH", "a kernel could not be launched"},
};

/// Codes from Driver on are of devices.
static llvm::ArrayRef<Code> codesOf(const AbiModule &abi) {
  return abi.isOnDevice()
             ? llvm::ArrayRef(kCodes)
             : llvm::ArrayRef(kCodes).take_until([](const Code &code) { return code.code == AbiCode::Driver; });
}

std::vector<std::string> AbiModule::headerNames() const {
  std::vector<std::string> names = entryNames();
  for (const AbiFunction &function : functions)
    names.push_back(prefix + "_" + function.name + "_args");
  names.push_back(prefix + (isOnDevice() ? "_device" : "_parallel"));
  std::string upper = StringRef(prefix).upper() + "_";
  names.push_back(upper + "H");
  for (const Code &code : codesOf(*this))
    names.push_back(upper + code.name.str());
  return names;
}

namespace {
class HeaderWriter {
public:
  HeaderWriter(const AbiModule &abi, llvm::raw_ostream &os)
      : abi(abi), prefix(abi.prefix), upper(StringRef(abi.prefix).upper()), os(os) {}
  void write();

private:
  const AbiModule &abi;
  std::string prefix, upper;
  llvm::raw_ostream &os;

  void writePrologue();
  void writeCodes();
  void writeParallel();
  void writeFunction(const AbiFunction &function);
  void writeMember(const AbiFunction &function, const AbiMember &member);
  std::string comment(const AbiFunction &function, const AbiMember &member);
  void writeCommon();
};
} // namespace

/// Nothing in a comment may end it.
static std::string safe(StringRef text) {
  std::string result = text.str();
  for (size_t at = 0; (at = result.find("*/", at)) != std::string::npos;)
    result.replace(at, 2, "* /");
  return result;
}

void HeaderWriter::writePrologue() {
  os << "/* The C interface of " << prefix << ", compiled by qlowc for " << abi.target
     << ". Link the object beside this header;\n   it needs nothing but the C library"
     << (abi.openmp ? " and an OpenMP runtime" : "");
  if (abi.device)
    os << ", and opens " << Device::get().words().driver
       << " when it is loaded.\n   Pointers to tensors, workspace and weights are addresses "
          "in the memory of that device. Calls return when their\n   kernels are in the stream";
  os << ".\n\n"
        "   Tensors are dense and row-major. "
     << (abi.device ? "Pointers to them are multiples of " + std::to_string(Device::get().tensorAlignment())
                    : "Pointers are aligned as C asks for their type")
     << ". Results must not overlap\n"
        "   arguments or each other, which is not checked. Calls allocate nothing, keep nothing, may run in several\n"
        "   threads at once, and expect the default floating-point environment: rounding to nearest, subnormals kept. "
        "*/\n"
     << "#ifndef " << upper << "_H\n#define " << upper << "_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
     << "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
}

void HeaderWriter::writeCodes() {
  os << "/* What the functions return, in the lowest byte: code & 255. Above it stands which argument is meant"
     << (abi.device ? ",\n   above codes from E_DRIVER on what the driver said, " + Device::get().words().result.str()
                    : "")
     << ";\n   " << prefix << "_strerror knows both. */\nenum {\n";
  llvm::ArrayRef<Code> shown = codesOf(abi);
  for (const Code &code : shown)
    os << "  " << upper << "_" << code.name << " = " << int(code.code) << (&code == &shown.back() ? " " : ", ") << "/* "
       << code.meaning << " */\n";
  os << "};\n\n";
}

void HeaderWriter::writeParallel() {
  os << "/* How work is shared out. run calls body(arg, i) once for each i in [0, n), in any order and in any threads, "
        "and\n"
        "   returns when all are done; n is at most width. Results have the same bits for every width. */\n"
     << "typedef struct " << prefix << "_parallel {\n"
     << "  void (*run)(void *self, void (*body)(void *arg, int64_t i), void *arg, int64_t n);\n"
     << "  void *self;    /* passed to run */\n  int32_t width; /* how many calls of body may run at once, 1 or more "
        "*/\n"
     << "} " << prefix << "_parallel;\n\n";
  if (abi.openmp)
    os << "/* Fills in a parallel struct that runs on the threads of OpenMP. */\n"
       << "void " << prefix << "_openmp(" << prefix << "_parallel *parallel, int32_t width);\n\n";
}

void HeaderWriter::writeCommon() {
  if (abi.device)
    Device::get().writeDeclarations(abi, os);
  else
    writeParallel();
  os << "/* " << upper << "_OK if this machine can run the code, else " << upper << "_E_CPU. Safe on any machine.";
  if (!abi.cpuFeatures.empty())
    os << " Asks for\n   " << safe(llvm::join(abi.cpuFeatures, ", ")) << ".";
  os << " */\nint " << prefix << "_check_cpu(void);\n\n"
     << "/* What a returned code means, in English. Never NULL. */\n"
     << "const char *" << prefix << "_strerror(int code);\n\n";
}

static std::string commentOfDim(const AbiFunction &function, int index) {
  const AbiDim &dim = function.dims[index];
  std::string text = std::to_string(dim.min) + " <= " + dim.name + " <= " + std::to_string(dim.max);
  for (const AbiRule &rule : function.rules)
    if (rule.dim == index)
      text += ", " + rule.text;
  return text;
}

std::string HeaderWriter::comment(const AbiFunction &function, const AbiMember &member) {
  std::string name = prefix + "_" + function.name;
  switch (member.kind) {
  case AbiMember::Kind::Size:
    return "sizeof(" + name + "_args)";
  case AbiMember::Kind::Dim:
    return commentOfDim(function, member.index);
  case AbiMember::Kind::Field: {
    const AbiField &field = function.fields[member.index];
    static constexpr StringRef directions[] = {"", "in: ", "out: ", "in and out: "};
    return (directions[unsigned(field.kind)] + field.note).str() + (field.op.empty() ? "" : "; " + field.op);
  }
  case AbiMember::Kind::Workspace:
    return "scratch memory" + std::string(function.device ? " of the device" : "") + ", aligned to " +
           std::to_string(function.workspaceAlignment()) + " bytes; NULL if none is needed";
  case AbiMember::Kind::WorkspaceSize:
    return "its bytes, at least " + name + "_workspace(...)";
  case AbiMember::Kind::Parallel:
    return "NULL: the calling thread alone";
  case AbiMember::Kind::Device:
    return "as " + prefix + "_load left it";
  case AbiMember::Kind::Stream:
    return (Device::get().words().stream + "; NULL: its default stream").str();
  }
  return "";
}

void HeaderWriter::writeMember(const AbiFunction &function, const AbiMember &member) {
  std::string type = member.cType;
  if (member.kind == AbiMember::Kind::Parallel || member.kind == AbiMember::Kind::Device)
    type = "const " + prefix + "_" + member.name + " *";
  std::string declaration = "  " + type + member.name + ";";
  os << llvm::left_justify(declaration, 40) << " /* " << safe(comment(function, member)) << " */\n";
}

void HeaderWriter::writeFunction(const AbiFunction &function) {
  std::string name = prefix + "_" + function.name;
  os << "typedef struct " << name << "_args {\n";
  for (const AbiMember &member : function.members())
    writeMember(function, member);
  os << "} " << name << "_args;\n\n";
  std::string parameters;
  for (const AbiDim &dim : function.dims)
    parameters += (parameters.empty() ? "int64_t " : ", int64_t ") + dim.name;
  if (!function.device)
    parameters += parameters.empty() ? "int32_t width" : ", int32_t width";
  os << "/* Bytes of workspace a call needs at these sizes, growing with each; -1 if one breaks its rule."
     << (function.device ? "" : "\n   width is that of parallel, 1 without.") << " */\n"
     << "int64_t " << name << "_workspace(" << (parameters.empty() ? "void" : parameters) << ");\n\n"
     << "/* Checks its arguments, touching no memory until all are right, then "
     << (function.device ? "puts its kernels into the stream. It allocates\n   nothing, waits for nothing and can be "
                           "captured into a graph."
                         : "computes.")
     << " */\n"
     << "int " << name << "(const " << name << "_args *args);\n\n";
}

void HeaderWriter::write() {
  writePrologue();
  writeCodes();
  writeCommon();
  for (const AbiFunction &function : abi.functions)
    writeFunction(function);
  os << "#ifdef __cplusplus\n}\n#endif\n\n#endif /* " << upper << "_H */\n";
}

std::string qlow::writeHeader(const AbiModule &abi) {
  std::string text;
  llvm::raw_string_ostream os(text);
  HeaderWriter(abi, os).write();
  return text;
}
