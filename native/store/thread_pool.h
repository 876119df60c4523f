// A fixed number of threads that run tasks in the order in which they were posted.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kafabric {

class ThreadPool {
 public:
  explicit ThreadPool(unsigned threads);
  /** Runs what was posted before, then joins. */
  ~ThreadPool() { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /** Tasks must not throw. False, and the task is dropped, once the pool is stopping. */
  bool post(std::function<void()> task);
  /** Runs what was posted before, then joins. Not to be called by a task; may be called more than once. */
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::mutex joinMutex_;
  std::vector<std::thread> threads_;
};

}  // namespace kafabric
