#include "net/limits.h"

#include <algorithm>

namespace kafabric::net {

bool Limits::full() const {
  uint64_t arriving = arrivingBytes_.load(std::memory_order_seq_cst);
  uint64_t beyond = arriving - std::min(arriving, arrivingShare());
  return inFlightBytes_.load(std::memory_order_seq_cst) >= options_.maxInFlightBytes + beyond;
}

bool Limits::admit(uint64_t bytes) {
  if (full()) {
    // Announce the wait, then look once more: the bytes may have been released in between.
    starved_.store(true, std::memory_order_seq_cst);
    if (full()) return false;
  }
  inFlightBytes_.fetch_add(bytes, std::memory_order_seq_cst);
  return true;
}

void Limits::release(uint64_t bytes) {
  if (bytes == 0) return;
  inFlightBytes_.fetch_sub(bytes, std::memory_order_seq_cst);
  if (full() || !starved_.load(std::memory_order_seq_cst)) return;
  if (starved_.exchange(false, std::memory_order_seq_cst)) onBytesFreed();
}

bool Limits::exceedsShare(uint64_t bytes) const {
  uint64_t arriving = arrivingBytes_.load(std::memory_order_seq_cst);
  return arriving > 0 && arriving + bytes > arrivingShare();
}

bool Limits::arrivingFull(uint64_t bytes) {
  if (!exceedsShare(bytes)) return false;
  arrivingStarved_.store(true, std::memory_order_seq_cst);  // as in admit
  return exceedsShare(bytes);
}

void Limits::arrived(uint64_t bytes) {
  if (bytes == 0) return;
  arrivingBytes_.fetch_sub(bytes, std::memory_order_seq_cst);
  if (!arrivingStarved_.load(std::memory_order_seq_cst)) return;
  if (arrivingStarved_.exchange(false, std::memory_order_seq_cst)) onBytesFreed();
}

bool Limits::connectionsFull() {
  if (connections_.load(std::memory_order_seq_cst) < options_.maxConnections) return false;
  acceptWaits_.store(true, std::memory_order_seq_cst);
  return connections_.load(std::memory_order_seq_cst) >= options_.maxConnections;
}

bool Limits::addConnection(const std::string& ip) {
  std::lock_guard lock(mutex_);
  uint32_t& count = perIp_[ip];
  if (count >= options_.maxConnectionsPerIp) {
    if (count == 0) perIp_.erase(ip);
    return false;
  }
  ++count;
  connections_.fetch_add(1, std::memory_order_seq_cst);
  return true;
}

void Limits::removeConnection(const std::string& ip) {
  {
    std::lock_guard lock(mutex_);
    auto found = perIp_.find(ip);
    if (found == perIp_.end()) return;
    if (--found->second == 0) perIp_.erase(found);
    connections_.fetch_sub(1, std::memory_order_seq_cst);
  }
  if (acceptWaits_.exchange(false, std::memory_order_seq_cst)) onConnectionFreed();
}

}  // namespace kafabric::net
