// Recycled memory for everything large: received frames, payloads, and data read for replies.
//
// One region is mapped once and never given back. It is private memory, or a file on tmpfs whose content outlives the process
// (SharedFile). Ranges are counted by reference: the last MemoryRef returns the range. All of it is thread-safe.
//
// Fresh pages cost several times what is copied into them, so memory comes into use by and by: a thread makes present twice what
// was ever in use, up to kPlentyBytes, and beyond that what `want` asks for; the rest does not count as free before. Up to
// kPlentyBytes, for requests of more than 1/kFewFit of what there is, and when nothing gives way, memory is taken without its pages;
// else caches give way first, and the arena grows by what is merely cached only if whoever caches finds that it is missed.
//
// Scheme: a range of up to kSmallBytes is taken from the lowest free run that fits, a larger one from the end of the highest.
// Whoever caches ranges gives them way, oldest first, when no run fits (setReclaimer). Ranges that stay for long are the trouble:
// they split the room, and nothing can move them. Lowest and highest fit press them together at the two ends, small apart from
// large. In a simulation (frames of 4 KiB to 1/16 of the capacity, heavy-tailed; 2 % of them stay for three turns of the
// capacity) the cache fills 0.86 of the capacity on average, lowest fit alone 0.82, a rotating cursor 0.45, and the cursor
// refused 14 % of the large requests. See arena_test.cc, which also holds what can be counted on: no refusal while ranges in use
// hold up to 1/10 of the capacity, chosen without malice, and requests are at most 1/16 of it.
// The worst case is that of every allocator that cannot move: one granule in use in every `n` lets no request for `n` granules
// succeed. It is refused, and whoever asked waits for memory to be freed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "arena/append_guesses.h"
#include "arena/granule_tree.h"
#include "arena/shared_file.h"
#include "arena/toucher.h"

namespace kafabric {

class Arena;

/** One allocated range; owned by the arena, referred to through MemoryRef only. */
struct ArenaBlock {
  Arena* arena = nullptr;
  std::atomic<uint32_t> references{0};
  uint32_t slot = 0;
  uint32_t generation = 0;  // rises each time the slot is freed, so that old handles are recognised
  uint32_t firstGranule = 0;
  uint32_t start = 0;  // of the bytes asked for, in the first granule
  size_t size = 0;     // bytes asked for
  AppendGuesses::Guess guess;  // what the range was placed for
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
  /** Lets go without giving the range back: it is in use for as long as the arena exists. */
  void abandon() noexcept { block_ = nullptr; }
  explicit operator bool() const { return block_ != nullptr; }
  uint8_t* data() const;
  /** The bytes that were asked for. */
  size_t size() const { return block_->size; }
  /** Distance of the first byte from the start of the arena, in bytes. */
  size_t offset() const;
  /** A number below 2^53 that names this range until it is freed; see Arena::find. */
  uint64_t handle() const { return (uint64_t{block_->generation} << 22) | block_->slot; }
  /** The records that the range was placed for are in it: they will be appended before those that arrive later. False when it was placed for none. */
  bool arrived() const;
  /** `bytes`, which lie in this range, have been appended to a file at `position`: later ranges are placed accordingly. */
  void appendedAt(const uint8_t* bytes, uint64_t position) const;

 private:
  friend class Arena;
  explicit MemoryRef(ArenaBlock* block) : block_(block) {}  // adopts one reference
  ArenaBlock* block_ = nullptr;
};

class Arena {
 public:
  static constexpr size_t kGranuleBytes = 4096;
  static constexpr size_t kDefaultBytes = size_t{512} << 20;
  static constexpr size_t kSmallBytes = size_t{256} << 10;
  /** Present pages that are kept ready before anything is in use. */
  static constexpr size_t kReadyBytes = size_t{8} << 20;
  /** Below it caches keep what they have rather than spare fresh pages: so much is for what is merely cached. */
  static constexpr size_t kPlentyBytes = size_t{256} << 20;
  /** Where fewer ranges of a size fit into what is present, one is not to be had for what caches give way in pieces: the arena grows. */
  static constexpr size_t kFewFit = 8;
  static constexpr uint32_t kMaxBlocks = 1u << 22;

  struct Stats {
    size_t capacity = 0;
    size_t backed = 0;   // bytes that may be handed out by now
    size_t aimed = 0;    // bytes from the start whose pages the background thread is to make present
    size_t touched = 0;  // bytes whose pages the background thread has made present
    size_t huge = 0;     // of shared memory, bytes that have come in huge pages
    size_t used = 0;     // bytes handed out, in whole granules
    size_t peak = 0;   // the highest `used` so far
    size_t blocks = 0;
    uint64_t refusals = 0;  // allocations that found no room
  };

  /**
   * `bytes` is rounded up to whole granules. With a name in `place` the memory is shared if it can be, see sharedReason. Throws
   * std::bad_alloc when the region cannot be mapped.
   */
  explicit Arena(size_t bytes, const SharedPlace& place = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /** The arena of the process, made on first use and never destroyed; a normal exit does releaseShared. */
  static Arena& process();
  /** Sets size and place (without a name: not shared) of the process arena; false when it exists already with others. */
  static bool configureProcess(size_t bytes, const SharedPlace& place = {});
  /** releaseShared of the process arena; true when that was never made. */
  static bool releaseProcess();

  /**
   * A range that starts on a granule; its content is undefined. Empty when there is no room, also after reclaiming, or `bytes`
   * is 0. The caller must not hold a lock that the reclaimer or the destruction of what it drops takes.
   */
  MemoryRef allocate(size_t bytes) noexcept;
  /**
   * As `allocate`, for a frame of `bytes` whose records, at guess.offset, can be written with direct I/O from where they are when the guess
   * is right.
   */
  MemoryRef allocateFor(size_t bytes, const AppendGuesses::Guess& guess) noexcept;
  AppendGuesses& guesses() { return guesses_; }
  /** The range that a handle names; empty when it has been freed or never was. */
  MemoryRef find(uint64_t handle);

  uint8_t* base() const { return base_; }
  size_t capacity() const { return capacity_; }
  Stats stats();

  /**
   * `onFreed` is called, on any thread, after memory was freed or can be, and an allocation had failed before. It must be quick
   * and must not call the arena. Once unsubscribe returns it is not running and will not run again.
   */
  int subscribe(std::function<void()> onFreed);
  /** Ranges can give way that could not before: who was refused may try again. */
  void announceReclaimable() noexcept;
  void unsubscribe(int subscription);

  /**
   * `reclaim(bytes)` is called, on any thread that allocates but by one at a time, when there is no room: it lets go of the
   * oldest ranges that are only cached, at least `bytes` of them, and returns whether it let go of any. It must not allocate or
   * set a reclaimer. An empty function removes it; once setReclaimer returns the former one is not running and will not again.
   */
  void setReclaimer(std::function<bool(size_t bytes)> reclaim);

  /** What has to be present for ranges of so many bytes: at other times of the load another part of it is in pieces that are too small. */
  static constexpr size_t roomFor(size_t bytes) { return bytes + bytes / 4; }
  /**
   * Ranges of so many bytes are to have room, as far as there is capacity: makes the thread keep it present, from now on; of what is missing now at most
   * `more` bytes.
   */
  void want(size_t bytes, size_t more = SIZE_MAX) noexcept;

  /** From now on keeps pages present in the background, as many as were in use or wanted. See Toucher for how it behaves. */
  void startTouching() { toucher_.start(); }
  void stopTouching() { toucher_.stop(); }

  /** Whether the content outlives the process, until releaseShared. */
  bool shared() const { return shared_ && !released_; }
  /** Why the memory is not shared although a name was given; empty otherwise. */
  const std::string& sharedReason() const { return sharedReason_; }
  /** The file behind a shared arena; null without. Lives as long as the arena. */
  SharedFile* sharedFile() const { return shared_.get(); }
  /**
   * For a clean end: removes the file, so that nothing is left to recover, unless journal entries are pending. The memory stays
   * usable. Returns whether nothing is left behind.
   */
  bool releaseShared();

 private:
  friend class MemoryRef;
  static constexpr size_t kReclaimStepBytes = size_t{1} << 20;
  static constexpr size_t kGrowthBytes = size_t{16} << 20;

  uint8_t* map(const SharedPlace& place);
  void free(ArenaBlock* block) noexcept;
  /** Takes a range that begins `start` bytes behind a granule if there is room; if not and `refuse`, counts a refusal and remembers to tell the subscribers. */
  MemoryRef take(size_t bytes, size_t start, bool refuse) noexcept;
  MemoryRef allocate(size_t bytes, size_t start) noexcept;
  /** Makes room for `bytes`, by more memory or by caches that give way; false when there is neither. */
  bool makeRoom(size_t bytes) noexcept;
  /** Makes more of the region usable, whose pages come as they are used; false when there is no more. */
  bool grow() noexcept;
  /** The region up to `end` has memory, present if it can be: from where to where that is new, which is the caller's to publish. Less when there is no more. */
  std::pair<size_t, size_t> reserve(size_t end) noexcept;
  std::pair<size_t, size_t> reserveLocked(size_t bytes, SharedFile::Growth growth) noexcept;
  /** Lets what was reserved be handed out. */
  void publish(size_t from, size_t to) noexcept;
  void aimLocked(size_t bytes) noexcept;
  bool reclaim(size_t bytes) noexcept;
  void notifySubscribers() noexcept;

  size_t capacity_;
  std::unique_ptr<SharedFile> shared_;
  std::string sharedReason_;
  SharedPlace place_;
  std::atomic<bool> released_{false};
  GranuleTree tree_;  // under mutex_; granules that are not published yet count as used
  uint8_t* base_;

  std::mutex mutex_;
  std::deque<ArenaBlock> blocks_;  // by slot; addresses are stable
  std::vector<uint32_t> freeSlots_;
  Stats stats_;
  bool starved_ = false;
  std::atomic<uint64_t> announced_{0};

  std::mutex subscribersMutex_;
  std::map<int, std::function<void()>> subscribers_;
  int nextSubscription_ = 1;

  std::mutex growMutex_;
  size_t reserved_ = 0;  // under growMutex_

  std::mutex reclaimMutex_;
  std::function<bool(size_t)> reclaimer_;
  std::atomic<uint64_t> reclaims_{0};
  AppendGuesses guesses_;

  Toucher toucher_;  // last: its thread ends before the rest goes
};

inline void MemoryRef::reset() noexcept {
  ArenaBlock* block = std::exchange(block_, nullptr);
  if (block && block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) block->arena->free(block);
}
inline size_t MemoryRef::offset() const { return size_t{block_->firstGranule} * Arena::kGranuleBytes + block_->start; }
inline uint8_t* MemoryRef::data() const { return block_->arena->base() + offset(); }
inline bool MemoryRef::arrived() const {
  if (block_->guess.length == 0) return false;
  block_->arena->guesses().arrive(block_->guess);
  return true;
}
inline void MemoryRef::appendedAt(const uint8_t* bytes, uint64_t position) const {
  const AppendGuesses::Guess& guess = block_->guess;
  if (guess.arrived && bytes == data() + guess.offset) block_->arena->guesses().learn(guess, position);
}

}  // namespace kafabric
