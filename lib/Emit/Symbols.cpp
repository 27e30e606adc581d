//===- Symbols.cpp - the closed list of undefined symbols -------------------===//
//
// An object links with nothing but libc, so what it leaves undefined is known: the memory functions that LLVM itself
// calls, where asked for the start of an OpenMP team, and the opening of a device's driver. Any other name is an error
// here and not at the user's linker.
//
//===----------------------------------------------------------------------===//

#include "ObjectFile.h"

#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;
using namespace qlow;

/// Name of the function that holds byte `offset` of `section`, if there is one.
static Expected<std::string> functionAt(const object::ObjectFile &object, const object::SectionRef &section,
                                        uint64_t offset) {
  for (const object::ELFSymbolRef symbol : object.symbols()) {
    auto in = symbol.getSection();
    if (!in)
      return in.takeError();
    if (symbol.getELFType() != ELF::STT_FUNC || *in == object.section_end() || **in != section)
      continue;
    auto start = symbol.getValue();
    if (!start)
      return start.takeError();
    if (offset >= *start && offset < *start + symbol.getSize()) {
      auto name = symbol.getName();
      return name ? Expected<std::string>(name->str()) : name.takeError();
    }
  }
  return std::string();
}

/// The function whose code refers to the symbol.
static Expected<std::string> findUser(const object::ObjectFile &object, StringRef name) {
  for (const object::SectionRef &section : object.sections()) {
    auto relocated = section.getRelocatedSection();
    if (!relocated)
      return relocated.takeError();
    for (const object::RelocationRef &relocation : section.relocations()) {
      object::symbol_iterator symbol = relocation.getSymbol();
      if (symbol == object.symbol_end())
        continue;
      auto symbolName = symbol->getName();
      if (!symbolName)
        return symbolName.takeError();
      if (*symbolName == name)
        return functionAt(object, **relocated, relocation.getOffset());
    }
  }
  return std::string();
}

Error qlow::checkUndefinedSymbols(StringRef path, const AbiModule &abi) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return errorCodeToError(buffer.getError());
  auto object = object::ObjectFile::createELFObjectFile((*buffer)->getMemBufferRef());
  if (!object)
    return object.takeError();
  for (const object::SymbolRef symbol : (*object)->symbols()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags || !name)
      return joinErrors(flags.takeError(), name.takeError());
    if (!(*flags & object::SymbolRef::SF_Undefined) || name->empty() || *name == "_GLOBAL_OFFSET_TABLE_")
      continue;
    if (is_contained({"memcpy", "memmove", "memset"}, *name) || (abi.openmp && *name == "GOMP_parallel") ||
        (abi.device && is_contained({"dlopen", "dlsym"}, *name)))
      continue;
    auto user = findUser(**object, *name);
    if (!user)
      return user.takeError();
    return createStringError("the code needs '" + *name + "', which no object may ask for" +
                             (user->empty() ? "" : "; it is used in '" + *user + "'") +
                             ": an operation was lowered to a library call instead of instructions");
  }
  return Error::success();
}
