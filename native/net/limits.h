// What all reactors of one network part share: how much is in flight and how many connections there are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "net/options.h"

namespace kafabric::net {

/** Thread-safe. The callbacks are set before the threads start, must be quick, and run on any thread. */
class Limits {
 public:
  explicit Limits(const Options& options) : options_(options) {}

  /** Called when frames may be admitted again after `admit` refused. */
  std::function<void()> onBytesFreed = [] {};
  /** Called when a connection may be accepted again after `connectionsFull` was true. */
  std::function<void()> onConnectionFreed = [] {};

  /** Counts a frame as in flight; false (and not counted) while the limit is reached. */
  bool admit(uint64_t bytes);
  void release(uint64_t bytes);
  /**
   * True while another of so many bytes, beside those that are on their way, would be more than three quarters of the limit; then `onBytesFreed` follows.
   * The rest is for what is there, which is served however many send slowly. One alone may be larger.
   */
  bool arrivingFull(uint64_t bytes);
  /** Counts an admitted frame as on its way, until it has arrived or will not. */
  void arriving(uint64_t bytes) { arrivingBytes_.fetch_add(bytes, std::memory_order_seq_cst); }
  void arrived(uint64_t bytes);
  uint64_t inFlightBytes() const { return inFlightBytes_.load(std::memory_order_relaxed); }
  /** True while some frame waits for `onBytesFreed`. */
  bool starved() const { return starved_.load(std::memory_order_relaxed); }

  /** A large frame begins to arrive, of which the end is told; true when there is no other, on any connection. */
  bool largeBegins() { return largeArriving_.fetch_add(1, std::memory_order_relaxed) == 0; }
  void largeEnds() { largeArriving_.fetch_sub(1, std::memory_order_relaxed); }

  /** True at max.connections: the caller accepts no more until onConnectionFreed. */
  bool connectionsFull();
  /** Counts a connection from `ip`; false (and not counted) at max.connections.per.ip. */
  bool addConnection(const std::string& ip);
  void removeConnection(const std::string& ip);
  uint32_t connections() const { return connections_.load(std::memory_order_relaxed); }

 private:
  uint64_t arrivingShare() const { return options_.maxInFlightBytes / 4 * 3; }
  bool full() const;
  bool exceedsShare(uint64_t bytes) const;

  const Options& options_;
  std::atomic<uint64_t> inFlightBytes_{0};
  std::atomic<bool> starved_{false};
  std::atomic<uint64_t> arrivingBytes_{0};
  std::atomic<bool> arrivingStarved_{false};
  std::atomic<uint32_t> largeArriving_{0};
  std::atomic<uint32_t> connections_{0};
  std::atomic<bool> acceptWaits_{false};
  std::mutex mutex_;
  std::unordered_map<std::string, uint32_t> perIp_;
};

}  // namespace kafabric::net
