// Recycled memory for everything large: received frames, payloads, and data read for replies.
//
// One region is mapped once and never given back; its pages are touched when first used. The lowest free range that
// fits is handed out, so that the same warm pages serve again and again. Ranges are counted by reference: the last
// MemoryRef returns the range. All of it is thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "arena/granule_tree.h"

namespace kafabric {

class Arena;

/** One allocated range; owned by the arena, referred to through MemoryRef only. */
struct ArenaBlock {
  Arena* arena = nullptr;
  std::atomic<uint32_t> references{0};
  uint32_t slot = 0;
  uint32_t generation = 0;  // rises each time the slot is freed, so that old handles are recognised
  uint32_t firstGranule = 0;
  size_t size = 0;  // bytes asked for
};

/** A counted reference to an allocated range; empty when default-constructed or moved from. */
class MemoryRef {
 public:
  MemoryRef() = default;
  MemoryRef(const MemoryRef& other) : block_(other.block_) {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  MemoryRef(MemoryRef&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  MemoryRef& operator=(MemoryRef other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~MemoryRef() { reset(); }

  void reset() noexcept;
  explicit operator bool() const { return block_ != nullptr; }
  uint8_t* data() const;
  /** The bytes that were asked for. */
  size_t size() const { return block_->size; }
  /** Distance of the first byte from the start of the arena, in bytes. */
  size_t offset() const;
  /** A number below 2^53 that names this range until it is freed; see Arena::find. */
  uint64_t handle() const { return (uint64_t{block_->generation} << 22) | block_->slot; }

 private:
  friend class Arena;
  explicit MemoryRef(ArenaBlock* block) : block_(block) {}  // adopts one reference
  ArenaBlock* block_ = nullptr;
};

class Arena {
 public:
  static constexpr size_t kGranuleBytes = 4096;
  static constexpr size_t kDefaultBytes = size_t{512} << 20;
  static constexpr uint32_t kMaxBlocks = 1u << 22;

  struct Stats {
    size_t capacity = 0;
    size_t used = 0;   // bytes handed out, in whole granules
    size_t peak = 0;   // the highest `used` so far
    size_t blocks = 0;
    uint64_t refusals = 0;  // allocations that found no room
  };

  /** `bytes` is rounded up to whole granules. Throws std::bad_alloc when the region cannot be mapped. */
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /** The arena of the process, made on first use and never destroyed. */
  static Arena& process();
  /** Sets the size of the process arena; false when it exists already with another size. */
  static bool configureProcess(size_t bytes);

  /** A range that starts on a granule; its content is undefined. Empty when there is no room or `bytes` is 0. */
  MemoryRef allocate(size_t bytes) noexcept;
  /** The range that a handle names; empty when it has been freed or never was. */
  MemoryRef find(uint64_t handle);

  uint8_t* base() const { return base_; }
  size_t capacity() const { return capacity_; }
  Stats stats();

  /**
   * `onFreed` is called, on any thread, after memory was freed and an allocation had failed before. It must be quick
   * and must not call the arena. Once unsubscribe returns it is not running and will not run again.
   */
  int subscribe(std::function<void()> onFreed);
  void unsubscribe(int subscription);

 private:
  friend class MemoryRef;
  void free(ArenaBlock* block) noexcept;

  size_t capacity_;
  uint8_t* base_ = nullptr;

  std::mutex mutex_;
  GranuleTree tree_;
  std::deque<ArenaBlock> blocks_;  // by slot; addresses are stable
  std::vector<uint32_t> freeSlots_;
  Stats stats_;
  bool starved_ = false;

  std::mutex subscribersMutex_;
  std::map<int, std::function<void()>> subscribers_;
  int nextSubscription_ = 1;
};

inline void MemoryRef::reset() noexcept {
  ArenaBlock* block = std::exchange(block_, nullptr);
  if (block && block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) block->arena->free(block);
}
inline size_t MemoryRef::offset() const { return size_t{block_->firstGranule} * Arena::kGranuleBytes; }
inline uint8_t* MemoryRef::data() const { return block_->arena->base() + offset(); }

}  // namespace kafabric
