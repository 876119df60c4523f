#include "store/thread_pool.h"

#include <algorithm>
#include <system_error>

#include "store/start_thread.h"

namespace kafabric {

namespace {

thread_local LateWakeups* lateHere = nullptr;

}  // namespace

LateWakeups::LateWakeups() { lateHere = this; }

LateWakeups::~LateWakeups() {
  wake();
  lateHere = nullptr;
}

void LateWakeups::wake() {
  if (!lateHere) return;
  for (const auto& threads : lateHere->kept_) threads->notify_one();
  lateHere->kept_.clear();
}

bool LateWakeups::add(const std::shared_ptr<std::condition_variable>& threads) {
  if (!lateHere || lateHere->kept_.size() >= kMost) return false;
  lateHere->kept_.push_back(threads);
  return true;
}

ThreadPool::ThreadPool(unsigned threads) {
  try {
    for (unsigned i = 0; i < std::max(threads, 1u); ++i) threads_.push_back(startThread("kafabric-store", [this] { run(); }));
  } catch (const std::system_error&) {
    stop();
    throw;
  }
}

bool ThreadPool::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    tasks_.push_back(std::move(task));
  }
  if (!LateWakeups::add(wake_)) wake_->notify_one();
  return true;
}

void ThreadPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_->notify_all();
  std::lock_guard joining(joinMutex_);
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ThreadPool::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_->wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
  }
}

}  // namespace kafabric
