#include "compaction/io_throttle.h"

#include <algorithm>
#include <thread>

namespace kafabric {

namespace {

/** How soon a change of the rate, or the wish to stop, is noticed. */
constexpr std::chrono::milliseconds kStep{50};

}  // namespace

void IoThrottle::setRate(double bytesPerSecond) {
  std::lock_guard lock(mutex_);
  if (bytesPerSecond == rate_.load(std::memory_order_relaxed)) return;
  rate_.store(bytesPerSecond, std::memory_order_relaxed);
  free_ = {};
}

void IoThrottle::spend(size_t bytes, const std::atomic<bool>& stop) {
  Clock::time_point until;
  double rate = 0;
  {
    std::lock_guard lock(mutex_);
    rate = rate_.load(std::memory_order_relaxed);
    if (rate <= 0) return;
    // A very low rate must not overflow the clock.
    std::chrono::duration<double> cost(std::min(static_cast<double>(bytes) / rate, 86'400.0));
    free_ = std::max(free_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(cost);
    until = free_;
  }
  while (Clock::now() < until && !stop.load(std::memory_order_relaxed) && rate_.load(std::memory_order_relaxed) == rate)
    std::this_thread::sleep_for(std::min<Clock::duration>(kStep, until - Clock::now()));
}

}  // namespace kafabric
