//===- Stages.h - what a long compilation is doing --------------*- C++ -*-===//
//
// Times of stages for those who ask, and for those who wait at a terminal one line that is gone when the work is done.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TOOLS_STAGES_H
#define QLOW_TOOLS_STAGES_H

#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace qlow {

/// Takes the line of progress off the terminal, for a message in its place.
inline void clearProgress() {
  if (llvm::errs().is_displayed())
    llvm::errs() << "\r\033[K";
}

class Stages {
public:
  /// `verbose`: each stage's time is printed to stderr.
  explicit Stages(bool verbose);
  Stages(const Stages &) = delete;
  ~Stages();

  /// Ends the stage before.
  void begin(const char *stage);
  /// How much of the stage is done, from 0 to 1.
  void reach(double share) { percent = static_cast<int>(100 * share); }
  void finish() { begin(nullptr); }

private:
  using Clock = std::chrono::steady_clock;
  void show();

  const bool verbose;
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  std::atomic<const char *> current = nullptr;
  std::atomic<int> percent = -1;
  std::mutex mutex;
  std::condition_variable wake;
  bool ended = false;
  std::thread watcher; ///< runs at a terminal only
};

} // namespace qlow

#endif // QLOW_TOOLS_STAGES_H
