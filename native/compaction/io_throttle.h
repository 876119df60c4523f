// Holds the bytes per second that compactions read and write, all together, below a limit.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>

namespace kafabric {

/** Thread-safe. */
class IoThrottle {
 public:
  /** Not above zero: no limit. Another rate than before holds for what is moved from now on: nobody waits for what went before. */
  void setRate(double bytesPerSecond);
  /** Waits until so many bytes may have been moved, or `stop` is set. */
  void spend(size_t bytes, const std::atomic<bool>& stop);

 private:
  using Clock = std::chrono::steady_clock;

  std::mutex mutex_;
  std::atomic<double> rate_{0};  // changed under the mutex
  Clock::time_point free_{};     // from when on bytes may move
};

}  // namespace kafabric
