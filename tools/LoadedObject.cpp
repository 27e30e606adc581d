//===- LoadedObject.cpp - calling an object in this process -----------------===//

#include "LoadedObject.h"

#include "llvm/ExecutionEngine/JITLink/x86_64.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"

#include <cstring>

using namespace llvm;
using namespace qlow;

/// Integer arguments beyond those a System V function takes are ignored, so one signature calls all of fewer.
constexpr size_t kMostDims = 15;
using WorkspaceFunction = int64_t (*)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                                      int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);

static Expected<AbiModule> readInterface(MemoryBufferRef buffer) {
  auto object = object::ObjectFile::createObjectFile(buffer);
  if (!object)
    return object.takeError();
  // The CPU check is code itself, and of another architecture it can not run.
  if (Triple::ArchType machine = Triple(sys::getProcessTriple()).getArch(); (*object)->getArch() != machine)
    return createStringError("expected code for " + Triple::getArchTypeName(machine) + ", found code for " +
                             Triple::getArchTypeName(Triple::ArchType((*object)->getArch())));
  for (const object::SectionRef &section : (*object)->sections()) {
    Expected<StringRef> name = section.getName();
    if (!name)
      return name.takeError();
    if (*name != ".qlow.abi")
      continue;
    Expected<StringRef> text = section.getContents();
    if (!text)
      return text.takeError();
    return AbiModule::fromJson(text->rtrim('\0'));
  }
  return createStringError("it has no section .qlow.abi: qlowc did not write it");
}

namespace {
/// Code that reaches large weights counts from the global offset table. The linker leaves a table without entries empty
/// and its symbol undefined; here it gets one entry.
class TablePlugin : public orc::ObjectLinkingLayer::Plugin {
public:
  void modifyPassConfig(orc::MaterializationResponsibility &, jitlink::LinkGraph &,
                        jitlink::PassConfiguration &config) override {
    config.PostPrunePasses.push_back([](jitlink::LinkGraph &graph) {
      jitlink::Section *table = graph.findSectionByName(jitlink::x86_64::GOTTableManager::getSectionName());
      if (!table || !table->empty())
        return Error::success();
      for (jitlink::Symbol *symbol : graph.external_symbols()) {
        if (!symbol->hasName() || *symbol->getName() != "_GLOBAL_OFFSET_TABLE_")
          continue;
        static const char kEntry[8] = {};
        jitlink::Block &block = graph.createContentBlock(*table, kEntry, orc::ExecutorAddr(), 8, 0);
        graph.makeDefined(*symbol, block, 0, 0, jitlink::Linkage::Strong, jitlink::Scope::Local, /*IsLive=*/true);
        break;
      }
      return Error::success();
    });
  }
  Error notifyFailed(orc::MaterializationResponsibility &) override { return Error::success(); }
  Error notifyRemovingResources(orc::JITDylib &, orc::ResourceKey) override { return Error::success(); }
  void notifyTransferringResources(orc::JITDylib &, orc::ResourceKey, orc::ResourceKey) override {}
};
} // namespace

Expected<LoadedObject> LoadedObject::open(StringRef path) {
  auto fail = [&](Error error) {
    return createStringError(formatv("'{0}' can not be loaded: {1}", path, toString(std::move(error))).str());
  };
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail(errorCodeToError(buffer.getError()));
  Expected<AbiModule> interface = readInterface((*buffer)->getMemBufferRef());
  if (!interface)
    return fail(interface.takeError());
  if (interface->device)
    return fail(createStringError("it computes on a device, '" + interface->target +
                                  "', whose memory a C program that "
                                  "links it provides"));
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  Expected<std::unique_ptr<orc::LLJIT>> jit = orc::LLJITBuilder().create();
  if (!jit)
    return fail(jit.takeError());
  auto process = orc::DynamicLibrarySearchGenerator::GetForCurrentProcess((*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return fail(process.takeError());
  if (auto *layer = dyn_cast<orc::ObjectLinkingLayer>(&(*jit)->getObjLinkingLayer()))
    layer->addPlugin(std::make_shared<TablePlugin>());
  (*jit)->getMainJITDylib().addGenerator(std::move(*process));
  if (Error error = (*jit)->addObjectFile(std::move(*buffer)))
    return fail(std::move(error));
  LoadedObject object;
  object.jit = std::move(*jit);
  object.interface = std::move(*interface);
  return object;
}

Expected<void *> LoadedObject::lookup(StringRef symbol) const {
  Expected<orc::ExecutorAddr> address = jit->lookup(symbol);
  if (!address)
    return address.takeError();
  return address->toPtr<void *>();
}

Expected<int32_t> LoadedObject::checkCpu() const {
  Expected<void *> entry = lookup(interface.prefix + "_check_cpu");
  if (!entry)
    return entry.takeError();
  return reinterpret_cast<int32_t (*)()>(*entry)();
}

Expected<int64_t> LoadedObject::workspace(const AbiFunction &function, ArrayRef<int64_t> dims, int32_t width) const {
  if (dims.size() > kMostDims)
    return createStringError(formatv("@{0} has {1} sizes, more than {2}", function.name, dims.size(), kMostDims).str());
  Expected<void *> entry = lookup(interface.prefix + "_" + function.name + "_workspace");
  if (!entry)
    return entry.takeError();
  int64_t a[kMostDims + 1] = {};
  llvm::copy(dims, a);
  a[dims.size()] = width;
  return reinterpret_cast<WorkspaceFunction>(*entry)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10],
                                                     a[11], a[12], a[13], a[14], a[15]);
}

Expected<std::function<int32_t()>> LoadedObject::bind(const AbiFunction &function,
                                                      const CallArguments &arguments) const {
  Expected<void *> entry = lookup(interface.prefix + "_" + function.name);
  if (!entry)
    return entry.takeError();
  std::vector<uint64_t> storage(divideCeil(function.structBytes(), 8)); // aligned as the struct is
  auto *args = reinterpret_cast<char *>(storage.data());
  auto put = [&](const AbiMember &member, const void *value, size_t bytes) {
    std::memcpy(args + member.offset, value, bytes);
  };
  auto structBytes = static_cast<uint64_t>(function.structBytes());
  for (const AbiMember &member : function.members()) {
    switch (member.kind) {
    case AbiMember::Kind::Size:
      put(member, &structBytes, 8);
      break;
    case AbiMember::Kind::Dim:
      put(member, &arguments.dims[member.index], 8);
      break;
    case AbiMember::Kind::Field: {
      const AbiField &field = function.fields[member.index];
      if (field.kind == AbiField::Kind::Scalar)
        put(member, arguments.fields[member.index], abiElementBytes(field.element));
      else
        put(member, static_cast<const void *>(&arguments.fields[member.index]), 8);
      break;
    }
    case AbiMember::Kind::Workspace:
      put(member, static_cast<const void *>(&arguments.workspace), 8);
      break;
    case AbiMember::Kind::WorkspaceSize:
      put(member, &arguments.workspaceSize, 8);
      break;
    case AbiMember::Kind::Parallel:
      break; // NULL: this thread alone
    case AbiMember::Kind::Device:
    case AbiMember::Kind::Stream:
      break; // open refuses objects that have them
    }
  }
  auto *address = reinterpret_cast<int32_t (*)(const void *)>(*entry);
  return [address, storage = std::move(storage)] { return address(storage.data()); };
}

Expected<int32_t> LoadedObject::call(const AbiFunction &function, const CallArguments &arguments) const {
  auto entry = bind(function, arguments);
  if (!entry)
    return entry.takeError();
  return (*entry)();
}

std::string LoadedObject::message(int32_t code) const {
  std::map<int32_t, std::string> messages = interface.messages();
  auto found = messages.find(code);
  return found == messages.end() ? "code " + std::to_string(code) : found->second;
}
