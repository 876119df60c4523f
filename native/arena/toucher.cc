#include "arena/toucher.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>

#include "arena/mapping.h"

namespace kafabric {

namespace {

// Whoever makes the arena grow meanwhile waits for one step: 0.1 ms of work.
constexpr size_t kStepBytes = size_t{256} << 10;

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
  while (wait() && step()) continue;
  running_ = false;
}

bool Toucher::step() {
  size_t at = touched_;
  size_t end = std::min(at + kStepBytes, std::min(goal_.load(), region_.bytes));
  auto [from, to] = region_.reserve(end);
  end = std::min(end, to);
  if (end > at) touchPages(region_.base + at, end - at);
  if (to > from) region_.present(from, to);
  touched_ = std::max(at, end);
  return end > at && end < region_.bytes;
}

}  // namespace kafabric
