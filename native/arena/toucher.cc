#include "arena/toucher.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <system_error>

#include "arena/mapping.h"

namespace kafabric {

namespace {

// The kernel holds the process's address space for one step, and at this priority a step can take a hundred times as long on a
// busy machine: 256 KiB are 0.1 ms of work. SCHED_IDLE would hold it longer still.
constexpr size_t kStepBytes = size_t{256} << 10;
constexpr int kLowestPriority = 19;
/** Pauses are so many times as long as the work before them, of which there is so much: shorter ones would mostly change threads. */
constexpr uint64_t kPause = 7;
constexpr uint64_t kStretchNs = 2'000'000;

/** What the calling thread has used of a processor. */
uint64_t threadCpuNs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

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

void Toucher::hurry() {
  if (hurried_.exchange(true)) return;
  // Not between its look at the flag and its wait.
  { std::lock_guard lock(mutex_); }
  changed_.notify_one();
}

void Toucher::rest(uint64_t used) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::nanoseconds(kPause * used), [this] { return stopping_ || hurried_; });
}

bool Toucher::wait() {
  std::unique_lock lock(mutex_);
  if (touched_ >= goal_) hurried_ = false;
  changed_.wait(lock, [this] { return stopping_ || touched_ < goal_; });
  return !stopping_;
}

void Toucher::run() {
  ::pthread_setname_np(::pthread_self(), "kafabric-arena");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLowestPriority);
  uint64_t rested = threadCpuNs();
  while (wait() && step()) {
    uint64_t used = threadCpuNs() - rested;
    if (used < kStretchNs) continue;
    rest(used);
    rested = threadCpuNs();
  }
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
