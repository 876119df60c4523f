// A fixed number of threads that run tasks in the order in which they were posted.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kafabric {

/**
 * While one lives, what its thread posts to pools is begun when `wake` is called, or it ends; unless a thread of the pool comes along before. To wake a
 * thread takes as long as to send an answer, and it may be given the processor of who waits for that.
 */
class LateWakeups {
 public:
  LateWakeups();
  ~LateWakeups();
  LateWakeups(const LateWakeups&) = delete;
  LateWakeups& operator=(const LateWakeups&) = delete;

  /** Wakes whom the calling thread has kept from being woken. */
  static void wake();

 private:
  friend class ThreadPool;
  /** So many are kept; those that are posted then are begun at once. */
  static constexpr size_t kMost = 8;
  /** False: there is none, or it has kept enough. */
  static bool add(const std::shared_ptr<std::condition_variable>& threads);

  std::vector<std::shared_ptr<std::condition_variable>> kept_;
};

class ThreadPool {
 public:
  /** Throws std::system_error when there can be no more threads. */
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
  const std::shared_ptr<std::condition_variable> wake_ = std::make_shared<std::condition_variable>();  // LateWakeups may outlive the pool
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::mutex joinMutex_;
  std::vector<std::thread> threads_;
};

}  // namespace kafabric
