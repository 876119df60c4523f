// The clock of appends that were acknowledged from memory: what waits for more to be written with it is written after a while.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

namespace kafabric {

class StoreFile;

/** One thread that wakes only while something waits. */
class WriteBehind {
 public:
  explicit WriteBehind(std::chrono::milliseconds delay) : delay_(delay) {}
  ~WriteBehind() { stop(); }
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  /**
   * Calls the file's writeWaiting after the delay, until when the file lives; false once stopped, or where there can be no thread: then what waits has to be
   * written at once. Any thread.
   */
  bool add(std::shared_ptr<StoreFile> file);
  /** Calls all that wait, and joins. May be called more than once, also at the same time. */
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  void run();

  const std::chrono::milliseconds delay_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<Clock::time_point, std::shared_ptr<StoreFile>>> files_;
  bool stopping_ = false;
  std::mutex joinMutex_;
  std::thread thread_;  // started by the first file
};

}  // namespace kafabric
