//===- Output.cpp - files that appear whole or not at all -------------------===//
//
// Everything is written to temporary files beside the places it belongs to. Renaming them is the last step, so that an
// older file stays as it was until a whole new one takes its place. Devices and pipes can not be replaced: they get a
// copy. A full disk is an error like any other.
//
//===----------------------------------------------------------------------===//

#include "qlow/Emit/Emit.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace qlow;

static Error fileError(const Twine &action, StringRef path, std::error_code code) {
  return createStringError("can not " + action + " '" + path + "': " + code.message());
}

OutputFiles::~OutputFiles() {
  for (const Pending &file : pending) {
    (void)sys::fs::remove(file.temporary);
    sys::DontRemoveFileOnSignal(file.temporary);
  }
}

Expected<std::string> OutputFiles::create(StringRef path) {
  if (any_of(pending, [&](const Pending &file) { return file.path == path; }))
    return createStringError("'" + path + "' would be written twice: two outputs have this name");
  sys::fs::file_status status;
  std::error_code code = sys::fs::status(path, status);
  bool exists = !code && sys::fs::exists(status);
  if (exists && sys::fs::is_directory(status))
    return fileError("write", path, std::make_error_code(std::errc::is_a_directory));
  bool regular = !exists || sys::fs::is_regular_file(status);
  if (exists && !sys::fs::can_write(path))
    return fileError("write", path, std::make_error_code(std::errc::permission_denied));
  // A link to a file stays: what it leads to is replaced.
  SmallString<128> temporary, target;
  if (!exists || !regular || sys::fs::real_path(path, target))
    target = path;
  int descriptor;
  if (regular)
    code = sys::fs::createUniqueFile(target + ".tmp-%%%%%%%%", descriptor, temporary, sys::fs::OF_None, 0666);
  else
    code = sys::fs::createTemporaryFile("qlowc", "out", descriptor, temporary);
  if (code)
    return fileError("write", path, code);
  (void)sys::Process::SafelyCloseFileDescriptor(descriptor);
  sys::RemoveFileOnSignal(temporary);
  pending.push_back({path.str(), std::string(target), std::string(temporary), regular});
  return pending.back().temporary;
}

Error OutputFiles::write(StringRef path, StringRef text) {
  auto temporary = create(path);
  if (!temporary)
    return temporary.takeError();
  std::error_code code;
  raw_fd_ostream os(*temporary, code);
  if (code)
    return fileError("write", path, code);
  os << text;
  os.close();
  if (os.has_error()) {
    code = os.error();
    os.clear_error();
    return fileError("write", path, code);
  }
  return Error::success();
}

/// Copies into something that is not a regular file.
static Error copyInto(StringRef from, StringRef path) {
  auto buffer = MemoryBuffer::getFile(from, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fileError("read", from, buffer.getError());
  std::error_code code;
  raw_fd_ostream os(path, code, sys::fs::CD_OpenExisting, sys::fs::FA_Write, sys::fs::OF_None);
  if (code)
    return fileError("write", path, code);
  os << (*buffer)->getBuffer();
  os.close();
  if (os.has_error()) {
    code = os.error();
    os.clear_error();
    return fileError("write", path, code);
  }
  return Error::success();
}

Error qlow::flushStandardOutput() {
  outs().flush();
  if (!outs().has_error())
    return Error::success();
  std::error_code code = outs().error();
  outs().clear_error();
  return createStringError("can not write to standard output: " + code.message());
}

Error OutputFiles::commit() {
  // What can still fail comes first; renaming within a folder is all but certain.
  for (const Pending &file : pending)
    if (!file.regular)
      if (Error error = copyInto(file.temporary, file.path))
        return error;
  outs() << printed;
  if (Error error = flushStandardOutput())
    return error;
  for (const Pending &file : pending)
    if (file.regular)
      if (std::error_code code = sys::fs::rename(file.temporary, file.target))
        return fileError("write", file.path, code);
  for (const Pending &file : pending) {
    if (!file.regular)
      (void)sys::fs::remove(file.temporary);
    sys::DontRemoveFileOnSignal(file.temporary);
  }
  pending.clear();
  return Error::success();
}
