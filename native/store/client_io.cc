#include "store/client_io.h"

#include <algorithm>
#include <thread>

namespace kafabric {

namespace {

using Clock = std::chrono::steady_clock;

/** From the end of a write to its flush, or to the next one: not a pause yet. */
constexpr std::chrono::microseconds kMoment{200};

}  // namespace

ClientIo::Scope::Scope(ClientIo& io, dev_t device) : io_(io), running_(io.at(device)) { ++running_; }

ClientIo::Scope::~Scope() {
  // A waiter counts itself before it looks at what is running.
  if (--running_ != 0 || io_.waiting_ == 0) return;
  std::lock_guard lock(io_.mutex_);
  io_.paused_.notify_all();
}

void ClientIo::awaitPause(dev_t one, dev_t other, std::chrono::microseconds atMost) {
  const auto& first = at(one);
  const auto& second = at(other);
  auto isPause = [&] { return first == 0 && second == 0; };
  Clock::time_point deadline = Clock::now() + atMost;
  ++waiting_;
  while (Clock::now() < deadline) {
    {
      std::unique_lock lock(mutex_);
      if (!paused_.wait_until(lock, deadline, isPause)) break;
    }
    std::this_thread::sleep_for(std::min<Clock::duration>(kMoment, deadline - Clock::now()));
    if (isPause()) break;
  }
  --waiting_;
}

}  // namespace kafabric
