#include "arena/toucher.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "arena/mapping.h"

namespace kafabric {

namespace {

// The kernel holds the process's address space for one step, and at this priority a step can take a hundred times as long on a
// busy machine: 256 KiB are 0.1 ms of work. SCHED_IDLE would hold it longer still.
constexpr size_t kStepBytes = size_t{256} << 10;
constexpr int kLowestPriority = 19;

}  // namespace

void Toucher::start() {
  std::lock_guard lock(threadMutex_);
  if (thread_.joinable()) return;
  stopping_ = false;
  running_ = true;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    running_ = false;  // pages are made present as they are used
  }
}

void Toucher::stop() {
  std::lock_guard lock(threadMutex_);
  {
    std::lock_guard changing(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Toucher::aim(size_t bytes) {
  {
    std::lock_guard lock(mutex_);
    if (bytes <= goal_) return;
    goal_ = bytes;
  }
  changed_.notify_one();
}

bool Toucher::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || touched_ < goal_; });
  return !stopping_;
}

void Toucher::run() {
  ::pthread_setname_np(::pthread_self(), "kafabric-arena");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLowestPriority);
  while (wait() && step()) continue;
  running_ = false;
}

bool Toucher::step() {
  size_t at = touched_;
  size_t end = std::min(at + kStepBytes, std::min(goal_.load(), region_.bytes));
  auto [from, to] = region_.reserve(end);
  end = std::min(end, to);
  bool done = end > at && populatePages(region_.base + at, end - at);
  if (to > from) region_.present(from, to);
  if (done) touched_ = end;
  return done && end < region_.bytes;
}

}  // namespace kafabric
