// A thread that makes an arena's pages present before they are needed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace kafabric {

/**
 * Works in small steps, and at the priority of those who wait for it: it has locks that they want, of the arena and of its file, and a thread of the
 * lowest priority that lost the processor meanwhile would get it back after 200 to 300 ms where others want it, too.
 */
class Toucher {
 public:
  struct Region {
    uint8_t* base;
    size_t bytes;
    /** Reserves memory for the first `end` bytes; returns from where to where it is new. Empty, and ends below `end`: the work is at its end. */
    std::function<std::pair<size_t, size_t>(size_t end)> reserve;
    /** What `reserve` has returned is present. */
    std::function<void(size_t from, size_t to)> present;
  };

  explicit Toucher(Region region) : region_(std::move(region)) {}
  ~Toucher() { stop(); }
  Toucher(const Toucher&) = delete;
  Toucher& operator=(const Toucher&) = delete;

  /** Returns at once. Does nothing while it is started; after stop, goes on where it ended. Thread-safe. */
  void start();
  /** Ends the thread after the step that it is in. Thread-safe; may be called more than once. */
  void stop();
  /** Whether it works, or will when there is more to do. */
  bool running() const { return running_; }
  /** That the first `bytes` are to be present; never fewer than before. Returns at once. Thread-safe. */
  void aim(size_t bytes);
  /** Bytes from the start that are present. */
  size_t touched() const { return touched_; }

 private:
  void run();
  bool step();
  /** Waits until there is something to do; false when the thread is to end. */
  bool wait();

  Region region_;
  std::atomic<size_t> goal_{0};
  std::atomic<size_t> touched_{0};
  std::atomic<bool> running_{false};
  std::mutex threadMutex_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // under mutex_
};

}  // namespace kafabric
