//===- Guard.cpp - LLVM may abort, qlow must not -----------------------------===//
//
// Runs work on a thread of its own under crash recovery, with a handler for fatal errors. What happens inside either
// returns or becomes an error that can be printed; memory and locks of a crashed body are lost.
//
//===----------------------------------------------------------------------===//

#include "qlow/Emit/Emit.h"

#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/ErrorHandling.h"

#include <csignal>

using namespace llvm;

/// Deep enough for the parsers and for selection of large blocks; pages that are not used cost nothing.
static constexpr unsigned kStackBytes = 256u << 20;
/// How the context tells our exit from a signal.
static constexpr int kFatalCode = 70;

static void onFatalError(void *text, const char *why, bool) {
  *static_cast<std::string *>(text) = why;
  if (CrashRecoveryContext *context = CrashRecoveryContext::GetCurrent())
    context->HandleExit(kFatalCode);
}

/// An overflown stack has no room for the handler of its own fault.
static void useAlternateStacks() {
  for (int signal : {SIGSEGV, SIGBUS}) {
    struct sigaction action;
    if (sigaction(signal, nullptr, &action))
      continue;
    action.sa_flags |= SA_ONSTACK;
    (void)sigaction(signal, &action, nullptr);
  }
}

Error qlow::runGuarded(function_ref<void()> body) {
  CrashRecoveryContext::Enable();
  useAlternateStacks();
  std::vector<char> handlerStack(1 << 16);
  auto onOwnStack = [&] {
    stack_t stack = {};
    stack.ss_sp = handlerStack.data();
    stack.ss_size = handlerStack.size();
    (void)sigaltstack(&stack, nullptr);
    body();
  };
  CrashRecoveryContext context;
  context.DumpStackAndCleanupOnFailure = false;
  std::string fatal;
  ScopedFatalErrorHandler handler(onFatalError, &fatal);
  if (context.RunSafelyOnThread(onOwnStack, kStackBytes))
    return Error::success();
  if (!fatal.empty())
    return createStringError("LLVM gave up: " + fatal);
  return createStringError("LLVM crashed (code " + Twine(context.RetCode) + ")");
}
