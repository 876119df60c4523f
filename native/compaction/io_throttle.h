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
  /** Not above zero: no limit. */
  void setRate(double bytesPerSecond) { rate_.store(bytesPerSecond, std::memory_order_relaxed); }
  /** Waits until so many bytes may have been moved, or `stop` is set. */
  void spend(size_t bytes, const std::atomic<bool>& stop);

 private:
  std::atomic<double> rate_{0};
  std::mutex mutex_;
  std::chrono::steady_clock::time_point free_{};  // from when on bytes may move
};

}  // namespace kafabric
