//===- Stages.cpp - what a long compilation is doing ------------------------===//

#include "Stages.h"

#include "llvm/Support/Format.h"

#include <unistd.h>

using namespace qlow;

Stages::Stages(bool verbose) : verbose(verbose) {
  if (llvm::errs().is_displayed())
    watcher = std::thread([this] { show(); });
}

Stages::~Stages() {
  if (!watcher.joinable())
    return;
  {
    std::lock_guard lock(mutex);
    ended = true;
  }
  wake.notify_one();
  watcher.join();
  clearProgress();
}

void Stages::begin(const char *stage) {
  auto now = Clock::now();
  if (verbose && current) {
    clearProgress();
    llvm::errs() << llvm::format("%8.3f s  ", std::chrono::duration<double>(now - last).count()) << current.load()
                 << "\n";
  }
  last = now;
  percent = -1;
  current = stage;
}

/// Writes past llvm::errs(), which belongs to the threads that work.
void Stages::show() {
  using namespace std::chrono_literals;
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, 200ms, [this] { return ended; })) {
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start).count();
    const char *stage = current;
    if (seconds < 1 || !stage)
      continue;
    std::string line = "\r\033[K" + std::to_string(seconds) + " s  " + stage;
    if (int share = percent; share >= 0)
      line += " " + std::to_string(share) + " %";
    (void)!::write(STDERR_FILENO, line.data(), line.size());
  }
}
