//===- Header.cpp - the C header of a module ---------------------------------===//
//
// In: the record. Out: text that C99 and C++ compilers accept without a warning, every field documented with its shape,
// element type and quantization. The text depends on the record alone, so equal models give equal headers.
//
//===----------------------------------------------------------------------===//

#include "qlow/Emit/Emit.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace qlow;
using llvm::StringRef;

/// The codes by number.
static constexpr StringRef kCodes[][2] = {
    {"OK", "done"},
    {"E_NULL", "a pointer is NULL"},
    {"E_SIZE", "a size is out of its range"},
    {"E_ALIGN", "a pointer is not aligned"},
    {"E_WORKSPACE", "the workspace is too small"},
    {"E_CPU", "the processor lacks an instruction set the code uses"},
    {"E_VERSION", "the args struct has another size: header and object differ"},
};

std::vector<std::string> AbiModule::headerNames() const {
  std::vector<std::string> names = entryNames();
  for (const AbiFunction &function : functions)
    names.push_back(prefix + "_" + function.name + "_args");
  names.push_back(prefix + "_parallel");
  std::string upper = StringRef(prefix).upper() + "_";
  names.push_back(upper + "H");
  for (const auto &code : kCodes)
    names.push_back(upper + code[0].str());
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
     << (abi.openmp ? " and an OpenMP runtime" : "")
     << ".\n\n"
        "   Tensors are dense and row-major. Pointers are aligned as C asks for their type. Results must not overlap\n"
        "   arguments or each other, which is not checked. Calls allocate nothing, keep nothing, may run in several\n"
        "   threads at once, and expect the default floating-point environment: rounding to nearest, subnormals kept. "
        "*/\n"
     << "#ifndef " << upper << "_H\n#define " << upper << "_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
     << "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  os << "/* What the functions return, in the lowest byte: code & 255. Above it stands which argument is meant;\n   "
     << prefix << "_strerror knows both. */\nenum {\n";
  for (auto [index, name] : llvm::enumerate(kCodes))
    os << "  " << upper << "_" << name[0] << " = " << index << (index + 1 < std::size(kCodes) ? ", " : " ") << "/* "
       << name[1] << " */\n";
  os << "};\n\n";
}

void HeaderWriter::writeCommon() {
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
    return (directions[unsigned(field.kind)] + field.note).str();
  }
  case AbiMember::Kind::Workspace:
    return "scratch memory, aligned to 64 bytes; NULL if none is needed";
  case AbiMember::Kind::WorkspaceSize:
    return "its bytes, at least " + name + "_workspace(...)";
  case AbiMember::Kind::Parallel:
    return "NULL: the calling thread alone";
  }
  return "";
}

void HeaderWriter::writeMember(const AbiFunction &function, const AbiMember &member) {
  std::string type = member.kind == AbiMember::Kind::Parallel ? "const " + prefix + "_parallel *" : member.cType;
  std::string declaration = "  " + type + member.name + ";";
  os << llvm::left_justify(declaration, 40) << " /* " << safe(comment(function, member)) << " */\n";
}

void HeaderWriter::writeFunction(const AbiFunction &function) {
  std::string name = prefix + "_" + function.name;
  os << "typedef struct " << name << "_args {\n";
  for (const AbiMember &member : function.members())
    writeMember(function, member);
  os << "} " << name << "_args;\n\n";
  os << "/* Bytes of workspace a call needs at these sizes, growing with each; -1 if one breaks its rule.\n"
        "   width is that of parallel, 1 without. */\n"
     << "int64_t " << name << "_workspace(";
  for (const AbiDim &dim : function.dims)
    os << "int64_t " << dim.name << ", ";
  os << "int32_t width);\n\n"
     << "/* Checks its arguments, touching no memory until all are right, then computes. */\n"
     << "int " << name << "(const " << name << "_args *args);\n\n";
}

void HeaderWriter::write() {
  writePrologue();
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
