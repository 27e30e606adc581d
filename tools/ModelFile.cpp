//===- ModelFile.cpp - reading a model the careful way ----------------------===//
//
// In: a path. Out: a verified module, or a diagnostic. Text is looked over before MLIR's recursive parsers see it: they
// have no bound on depth. Parsing itself runs guarded all the same. Bytecode is read by a child process first.
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"
#include "Stages.h"

#include "qlow/Emit/Emit.h"

#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

#include <csignal>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;
using namespace qlow;

/// Deepest nesting of brackets, and longest run of signs, in a text.
static constexpr unsigned kMaxDepth = 256;
/// Most bytes of one weight in a text: MLIR needs several times as much memory to read them.
static constexpr size_t kMaxTextWeight = 1 << 20;
static constexpr char kWeightAdvice[] =
    " bytes of weights as text: expected at most 1048576; larger ones are given as dense_resource in MLIR bytecode";

void qlow::printDiagnostics(MLIRContext &context) {
  context.getDiagEngine().registerHandler([](Diagnostic &diagnostic) {
    auto print = [](const Diagnostic &part) {
      std::string text;
      llvm::raw_string_ostream os(text);
      // A module that the file does not spell has its name and no line.
      if (auto file = part.getLocation()->findInstanceOf<FileLineColLoc>(); file && file.getLine())
        os << file.getFilename().getValue() << ":" << file.getLine() << ":" << file.getColumn() << ": ";
      else
        os << (file ? file.getFilename().getValue() : "qlow") << ": ";
      switch (part.getSeverity()) {
      case DiagnosticSeverity::Error:
        os << "error: ";
        break;
      case DiagnosticSeverity::Warning:
        os << "warning: ";
        break;
      case DiagnosticSeverity::Note:
      case DiagnosticSeverity::Remark:
        os << "note: ";
        break;
      }
      os << part;
      // Printed operations can be as long as the model.
      if (text.size() > 2000)
        text = text.substr(0, 2000) + " ...";
      clearProgress();
      llvm::errs() << text << "\n";
    };
    print(diagnostic);
    for (const Diagnostic &note : diagnostic.getNotes())
      if (!StringRef(note.str()).starts_with("see current operation"))
        print(note);
    return success();
  });
}

namespace {
/// Walks over a text as far as brackets go: strings and comments are skipped, arrows and comparisons are no brackets.
class TextCheck {
public:
  TextCheck(StringRef text) : text(text) {}
  /// What is wrong with the text, or nothing. `line` gets where.
  std::string run(unsigned &line);

private:
  /// From a quote to the one that ends the string, or to the end of the line.
  void skipString() {
    for (++at; at < text.size() && text[at] != '"' && text[at] != '\n'; ++at)
      if (text[at] == '\\')
        ++at;
  }
  char next() const { return at + 1 < text.size() ? text[at + 1] : '\0'; }

  StringRef text;
  size_t at = 0;
};
} // namespace

std::string TextCheck::run(unsigned &line) {
  line = 1;
  unsigned depth = 0, signs = 0;
  for (; at < text.size(); ++at) {
    char c = text[at];
    if (c == '\0')
      return "holds a zero byte: expected MLIR as text or bytecode";
    signs = c == '-' ? signs + 1 : (c == ' ' ? signs : 0);
    if (c == '\n') {
      ++line;
    } else if (c == '"') {
      size_t begin = at;
      skipString();
      // A string of hexadecimal digits, quotes and 0x beside them.
      size_t bytes = (at - begin) / 2;
      if (bytes > kMaxTextWeight + 8 && text.substr(begin, 3) == "\"0x")
        return "has " + std::to_string(bytes - 1) + kWeightAdvice;
    } else if (c == '/' && next() == '/') {
      at = std::min(text.find('\n', at), text.size()) - 1;
    } else if (c == '-' && next() == '>') {
      ++at;
      signs = 0;
    } else if ((c == '<' || c == '>') && next() == '=') {
      ++at;
    } else if (StringRef("([{<").contains(c)) {
      ++depth;
    } else if (StringRef(")]}>").contains(c)) {
      depth -= depth > 0;
    }
    if (depth > kMaxDepth || signs > kMaxDepth)
      return "is nested more than " + std::to_string(kMaxDepth) + " brackets deep";
  }
  return "";
}

/// The file as it lies in memory: mapped where it is large. Blobs may ask for any alignment up to a page's, and a small
/// file is read to wherever the heap has room.
static llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> readAligned(StringRef path) {
  const llvm::Align page(4096);
  auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer || llvm::isAddrAligned(page, (*buffer)->getBufferStart()))
    return buffer;
  auto copy = llvm::WritableMemoryBuffer::getNewUninitMemBuffer((*buffer)->getBufferSize(),
                                                                (*buffer)->getBufferIdentifier(), page);
  if (!copy)
    return std::make_error_code(std::errc::not_enough_memory);
  llvm::copy((*buffer)->getBuffer(), copy->getBufferStart());
  return std::unique_ptr<llvm::MemoryBuffer>(std::move(copy));
}

/// Numbers in brackets take even more text than digits do.
static LogicalResult verifyTextWeights(ModuleOp module) {
  WalkResult result = module.walk([](Operation *op) {
    for (NamedAttribute attribute : op->getAttrs())
      if (auto dense = dyn_cast<DenseElementsAttr>(attribute.getValue()))
        if (!dense.isSplat() && dense.getRawData().size() > kMaxTextWeight) {
          op->emitError("has ") << dense.getRawData().size() << kWeightAdvice;
          return WalkResult::interrupt();
        }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

/// Whether bytecode can be read, tried in a process of its own: what is damaged can make MLIR's reader spoil the heap,
/// which no guard in this process would survive. Messages are the child's, or say that it died.
static bool canRead(const std::shared_ptr<llvm::SourceMgr> &sources, StringRef path, MLIRContext &context) {
  pid_t child = ::fork();
  if (child == 0) {
    for (int signal : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV})
      std::signal(signal, SIG_DFL);
    OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
    std::_Exit(module ? 0 : 1);
  }
  int status = 0;
  if (child > 0 && llvm::sys::RetryAfterSignal(-1, ::waitpid, child, &status, 0) == child) {
    if (WIFEXITED(status))
      return WEXITSTATUS(status) == 0;
    emitError(FileLineColLoc::get(&context, path, 1, 1)) << "can not be read: it is damaged, and MLIR's reader crashed";
    return false;
  }
  emitError(FileLineColLoc::get(&context, path, 1, 1)) << "can not start a process that reads it";
  return false;
}

OwningOpRef<ModuleOp> qlow::readModel(StringRef path, MLIRContext &context) {
  const bool isStdin = path == "-";
  if (isStdin)
    path = "<stdin>";
  auto fail = [&](unsigned line, const Twine &what) {
    emitError(FileLineColLoc::get(&context, path, line, 1)) << what;
    return OwningOpRef<ModuleOp>();
  };
  auto buffer = readAligned(isStdin ? "-" : path);
  if (!buffer)
    return fail(1, "can not read the file: " + buffer.getError().message());
  bool bytecode = isBytecode((*buffer)->getMemBufferRef());
  if (!bytecode) {
    // The text parser wants a zero behind the text. A pipe can be read only once.
    buffer = llvm::MemoryBuffer::getMemBufferCopy((*buffer)->getBuffer(), path);
    unsigned line;
    if (std::string why = TextCheck((*buffer)->getBuffer()).run(line); !why.empty())
      return fail(line, why);
  }
  auto sources = std::make_shared<llvm::SourceMgr>();
  sources->AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
  if (bytecode && !canRead(sources, path, context))
    return {};
  OwningOpRef<ModuleOp> module;
  ParserConfig config(&context);
  bool isTold = false;
  ScopedDiagnosticHandler listener(&context, [&](Diagnostic &diagnostic) {
    isTold |= diagnostic.getSeverity() == DiagnosticSeverity::Error;
    return failure(); // others print it
  });
  auto parse = [&] {
    module = parseSourceFile<ModuleOp>(sources, config);
    if (module)
      return;
    // A few of MLIR's parsers give up in silence.
    if (!isTold)
      (void)fail(1, "can not be parsed: MLIR gives no reason; look for a number where a name belongs");
    // And some free what others still write to (22: linalg.generic, behind a value that is used before it is defined
    // twice): destructors, of a thread's memory even, would run into it.
    std::_Exit(EXIT_FAILURE);
  };
  if (llvm::Error crash = runGuarded(parse)) {
    (void)module.release();
    return fail(1, "can not be read: " + llvm::toString(std::move(crash)));
  }
  if (!bytecode && failed(verifyTextWeights(*module)))
    return {};
  return module;
}
