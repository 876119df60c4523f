#include "store/write_behind.h"

#include <system_error>

#include "store/start_thread.h"
#include "store/store_file.h"

namespace kafabric {

bool WriteBehind::add(std::shared_ptr<StoreFile> file) {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  files_.emplace_back(Clock::now() + delay_, std::move(file));
  if (thread_.joinable()) {
    if (files_.size() == 1) wake_.notify_one();
    return true;
  }
  try {
    thread_ = startThread("kafabric-write", [this] { run(); });
  } catch (const std::system_error&) {
    files_.clear();
    return false;
  }
  return true;
}

void WriteBehind::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  std::lock_guard joining(joinMutex_);
  if (thread_.joinable()) thread_.join();
}

void WriteBehind::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (files_.empty()) {
      if (stopping_) return;
      wake_.wait(lock);
      continue;
    }
    if (!stopping_ && files_.front().first > Clock::now()) {
      wake_.wait_until(lock, files_.front().first);
      continue;
    }
    std::shared_ptr<StoreFile> next = std::move(files_.front().second);
    files_.pop_front();
    lock.unlock();
    next->writeWaiting();
    next.reset();
    lock.lock();
  }
}

}  // namespace kafabric
