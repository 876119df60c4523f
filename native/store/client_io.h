// What clients wait for on each device, so that copying goes between.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace kafabric {

/** Thread-safe. */
class ClientIo {
 public:
  /** While it lives a write, a flush or a read for clients is under way. */
  class Scope {
   public:
    Scope(ClientIo& io, dev_t device);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    ClientIo& io_;
    std::atomic<uint32_t>& running_;
  };

  /** Waits until nothing has been under way on either device for a moment, for `atMost` in all: who copies goes on even where clients leave no pause. */
  void awaitPause(dev_t one, dev_t other, std::chrono::microseconds atMost);

 private:
  /** Devices that share one wait for each other, which does no harm. */
  static constexpr size_t kSlots = 32;

  std::atomic<uint32_t>& at(dev_t device) { return running_[static_cast<size_t>(device) % kSlots]; }

  std::array<std::atomic<uint32_t>, kSlots> running_{};
  std::atomic<uint32_t> waiting_{0};
  std::mutex mutex_;
  std::condition_variable paused_;
};

}  // namespace kafabric
