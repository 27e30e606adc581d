//===- Weights.cpp - bytes of weights, streamed into the object -------------===//
//
// In: a finished object that reserves zeros behind one symbol, and the declarations of what belongs there. Bytes go
// from where the model has them through the packer to the file: pwrite, never a map, since a full disk must be an error
// and not a signal. Neither source nor object is held in memory.
//
//===----------------------------------------------------------------------===//

#include "ObjectFile.h"

#include "qlow/Targets/Layout.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"

#include <unistd.h>

using namespace llvm;
using namespace qlow;

static constexpr size_t kPiece = size_t(1) << 20;

/// Where in the file the symbol's bytes are.
static Expected<uint64_t> fileOffset(StringRef path, StringRef name) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return errorCodeToError(buffer.getError());
  auto object = object::ObjectFile::createELFObjectFile((*buffer)->getMemBufferRef());
  if (!object)
    return object.takeError();
  for (const object::SymbolRef symbol : (*object)->symbols()) {
    auto symbolName = symbol.getName();
    if (!symbolName)
      return symbolName.takeError();
    if (*symbolName != name)
      continue;
    auto section = symbol.getSection();
    auto value = symbol.getValue();
    if (!section || !value || *section == (*object)->section_end())
      return joinErrors(section.takeError(), value.takeError());
    return object::ELFSectionRef(**section).getOffset() + *value;
  }
  return createStringError("the object has no symbol '" + name + "' for its weights");
}

namespace {
/// Consecutive bytes of one weight in the file.
class Stream {
public:
  Stream(int descriptor, uint64_t offset, uint64_t size) : descriptor(descriptor), offset(offset), left(size) {}

  Error put(ArrayRef<uint8_t> bytes) {
    if (bytes.size() > left)
      return createStringError("a weight has more bytes than were declared for it");
    left -= bytes.size();
    while (!bytes.empty()) {
      ssize_t written = sys::RetryAfterSignal(-1, ::pwrite, descriptor, bytes.data(), bytes.size(), off_t(offset));
      if (written <= 0)
        return errorCodeToError(written ? errnoAsErrorCode() : std::make_error_code(std::errc::no_space_on_device));
      offset += written;
      bytes = bytes.drop_front(written);
    }
    return Error::success();
  }
  uint64_t missing() const { return left; }

private:
  int descriptor;
  uint64_t offset, left;
};
} // namespace

/// A constant's bytes as they are.
static Error copySource(WeightOp weight, function_ref<Error(ArrayRef<uint8_t>)> sink) {
  auto asBytes = [](ArrayRef<char> data) {
    return ArrayRef(reinterpret_cast<const uint8_t *>(data.data()), data.size());
  };
  mlir::ElementsAttr source = weight.getSource();
  if (auto resource = dyn_cast<mlir::DenseResourceElementsAttr>(source)) {
    mlir::AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    return blob ? sink(asBytes(blob->getData())) : createStringError("its resource is not in the file");
  }
  auto dense = dyn_cast<mlir::DenseElementsAttr>(source);
  if (!dense || dense.getElementType().isInteger(1))
    return createStringError("expected dense or dense_resource elements of whole bytes");
  ArrayRef<uint8_t> data = asBytes(dense.getRawData());
  if (!dense.isSplat())
    return sink(data);
  std::vector<uint8_t> piece;
  while (piece.size() < kPiece)
    piece.insert(piece.end(), data.begin(), data.end());
  uint64_t left = weight.getBytes();
  for (; left > piece.size(); left -= piece.size())
    if (Error error = sink(piece))
      return error;
  return sink(ArrayRef(piece).take_front(left));
}

Error qlow::writeWeights(StringRef path, StringRef symbol, ArrayRef<WeightOp> weights, const ObjectOptions &options) {
  auto base = fileOffset(path, symbol);
  if (!base)
    return base.takeError();
  int descriptor;
  if (std::error_code code = sys::fs::openFileForWrite(path, descriptor, sys::fs::CD_OpenExisting))
    return errorCodeToError(code);
  uint64_t written = 0, total = 0;
  for (WeightOp weight : weights)
    total += weight.getBytes();
  auto notify = [&](uint64_t bytes) {
    written += bytes;
    if (options.onWeights)
      options.onWeights(written, total);
  };
  notify(0);
  for (WeightOp weight : weights) {
    uint64_t offset = weight->getAttrOfType<mlir::IntegerAttr>("qlow.offset").getInt();
    Stream stream(descriptor, *base + offset, weight.getBytes());
    auto sink = [&](ArrayRef<uint8_t> bytes) -> Error {
      for (ArrayRef<uint8_t> rest = bytes; !rest.empty(); rest = rest.drop_front(std::min(rest.size(), kPiece))) {
        ArrayRef<uint8_t> piece = rest.take_front(kPiece);
        if (Error error = stream.put(piece))
          return error;
        notify(piece.size());
      }
      return Error::success();
    };
    Error error = weight.getLayout() ? packWeight(weight, sink) : copySource(weight, sink);
    if (!error && stream.missing())
      error = createStringError(Twine(stream.missing()) + " of its " + Twine(weight.getBytes()) + " bytes are missing");
    if (error) {
      (void)sys::Process::SafelyCloseFileDescriptor(descriptor);
      return createStringError("weight '" + weight.getSymName() + "': " + toString(std::move(error)));
    }
  }
  return errorCodeToError(sys::Process::SafelyCloseFileDescriptor(descriptor));
}
