// A thread that makes an arena's pages present before they are needed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace kafabric {

/** Runs at the lowest priority, in small steps: whoever needs the processor or the address space waits for one step only. */
class Toucher {
 public:
  /** `ready(end)` makes the first `end` bytes usable and returns how many are; fewer than `end` ends the work. */
  Toucher(uint8_t* base, size_t bytes, std::function<size_t(size_t end)> ready)
      : base_(base), bytes_(bytes), ready_(std::move(ready)) {}
  ~Toucher() { stop(); }
  Toucher(const Toucher&) = delete;
  Toucher& operator=(const Toucher&) = delete;

  /** Returns at once. Does nothing while it is started; after stop, goes on where it ended. Thread-safe. */
  void start();
  /** Ends the thread after the step that it is in. Thread-safe; may be called more than once. */
  void stop();
  /** Bytes from the start that are present. */
  size_t touched() const { return touched_; }

 private:
  void run();

  uint8_t* base_;
  size_t bytes_;
  std::function<size_t(size_t)> ready_;
  std::atomic<size_t> touched_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::thread thread_;
};

}  // namespace kafabric
