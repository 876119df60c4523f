#include "compaction/io_throttle.h"

#include <algorithm>
#include <thread>

namespace kafabric {

namespace {

/** How soon a change of the rate, or the wish to stop, is noticed. */
constexpr std::chrono::milliseconds kStep{50};

}  // namespace

void IoThrottle::spend(size_t bytes, const std::atomic<bool>& stop) {
  using Clock = std::chrono::steady_clock;
  double rate = rate_.load(std::memory_order_relaxed);
  if (rate <= 0) return;
  // A very low rate must not overflow the clock.
  std::chrono::duration<double> cost(std::min(static_cast<double>(bytes) / rate, 86'400.0));
  Clock::time_point until;
  {
    std::lock_guard lock(mutex_);
    free_ = std::max(free_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(cost);
    until = free_;
  }
  while (Clock::now() < until && !stop.load(std::memory_order_relaxed) && rate_.load(std::memory_order_relaxed) == rate)
    std::this_thread::sleep_for(std::min<Clock::duration>(kStep, until - Clock::now()));
}

}  // namespace kafabric
