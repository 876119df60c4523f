// Arena memory in JavaScript's hands.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "arena/arena.h"
#include "batch/produce_check.h"

namespace kafabric::binding {

/**
 * The references that one environment's JavaScript holds, by handle. What is still held when the environment ends is
 * given back then. A release of something that is not held is a JavaScript error, never a wrong count.
 */
class ArenaHolds {
 public:
  /**
   * Gives one reference to JavaScript, which releases it through releaseMemory; returns its handle. `checked` is what is known of a frame
   * that fills the memory, and lives until JavaScript holds no reference to it.
   */
  uint64_t give(MemoryRef memory, std::shared_ptr<CheckedFrame> checked = nullptr);
  /** Another reference to memory that JavaScript holds; empty for a handle that it does not hold. */
  MemoryRef borrow(uint64_t handle) const;
  /** What was given with the memory of this handle; null when that is nothing. */
  CheckedFrame* checked(uint64_t handle) const;
  /** Batches in it were checked; nothing when it was given back meanwhile. */
  void setChecked(uint64_t handle, std::shared_ptr<CheckedFrame> checked);
  /** Takes back one reference; false when JavaScript holds none. */
  bool take(uint64_t handle);

 private:
  struct Hold {
    MemoryRef memory;
    uint32_t count = 0;
    std::shared_ptr<CheckedFrame> checked;
  };
  std::unordered_map<uint64_t, Hold> holds_;
};

ArenaHolds& arenaHolds(Napi::Env env);

/**
 * What a JavaScript handle and range name, as a counted reference. Throws Napi::Error when the handle is stale or the range is
 * not inside the memory.
 */
MemoryRef borrowMemory(Napi::Env env, double handle, double offset, double length);

void initArena(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
