// The only cache: ranges of files that are in arena memory, because they were appended or read lately.
//
// What is appended stays where it was received until other memory is asked for; the arena then takes the oldest ranges back
// (Arena::setReclaimer). What was read from the device goes first, for it is needed once, or by consumers that are close together.
// Ranges that are not yet on the device stay. A range that a reply is being sent from leaves the cache like any other; its memory
// is free when the reply is sent.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "arena/arena.h"

namespace kafabric {

/** Bytes in arena memory, kept for as long as the piece exists. */
struct MemoryPiece {
  MemoryRef memory;
  const uint8_t* bytes = nullptr;  // inside `memory`
  size_t length = 0;

  explicit operator bool() const { return static_cast<bool>(memory); }
};

/** Thread-safe. Files must leave (`drop`) before they are destroyed. */
class RangeCache {
 public:
  class File;

 private:
  struct Range {
    File* file;
    uint64_t position;
    MemoryPiece piece;
    bool appended;
    bool checked = false;
    Range* older = nullptr;
    Range* newer = nullptr;
    uint64_t end() const { return position + piece.length; }
  };

 public:
  /** The ranges of one file, which owns it. */
  class File {
   public:
    /** Everything below is on the device. Any thread. */
    std::atomic<uint64_t> written{0};

   private:
    friend class RangeCache;
    std::map<uint64_t, Range> ranges;  // by position; they do not overlap
    uint64_t cuts = 0;
    // Where small appends are copied to, one behind the other, so that neighbours can leave in one piece.
    MemoryRef staging;
    size_t stagingUsed = 0;
    size_t stagingBytes = 0;
  };

  struct Stats {
    uint64_t bytes = 0;      // cached
    uint64_t hitBytes = 0;   // found by those who read
    uint64_t missBytes = 0;  // read from the device instead
  };

  /** The cache of an arena, shared by all who ask while somebody has it. */
  static std::shared_ptr<RangeCache> of(Arena& arena);
  ~RangeCache();
  RangeCache(const RangeCache&) = delete;
  RangeCache& operator=(const RangeCache&) = delete;

  /** Copies bytes that are appended at `position`, behind all others; empty when the arena has no room. One thread a file. */
  MemoryPiece addCopy(File& file, uint64_t position, const uint8_t* bytes, size_t length);
  /** Takes in memory that is appended at `position`, behind all others. */
  void addAppended(File& file, uint64_t position, const MemoryPiece& piece);
  /** Takes in what was read; `cuts` is of before the read began, so that nothing that was cut off meanwhile comes back. */
  void addRead(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts);
  /**
   * The same for what was read and found to be what it should be, in place of what was read of it before. Nothing where some of it was appended: that may
   * not be on the device yet.
   */
  void addChecked(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts);
  uint64_t cutsOf(File& file);

  struct Found {
    MemoryPiece piece;      // starts at the position asked for; empty when that is not cached
    bool appended = false;  // it is what was appended, not a copy read from the device
    bool checked = false;   // it was appended, or checked when it was read
    size_t gap = 0;         // otherwise: how many bytes from there on are not cached
  };
  /** At most `length` bytes from `position` on, as far as they are in one piece. */
  Found find(File& file, uint64_t position, size_t length);
  /** Counts what a read found, or had to fetch. */
  void count(uint64_t hitBytes, uint64_t missBytes);

  /** Forgets what lies at or behind `size`. */
  void cut(File& file, uint64_t size);
  /** The same for what was read from the device, which has been cut there meanwhile; what is appended anew stays. */
  void cutRead(File& file, uint64_t size);
  /** Forgets all of a file. */
  void drop(File& file) { cut(file, 0); }
  Stats stats();

 private:
  struct Ages {
    Range* oldest = nullptr;
    Range* newest = nullptr;
  };

  explicit RangeCache(Arena& arena);
  bool reclaim(size_t bytes);
  void insertLocked(File& file, uint64_t position, const MemoryPiece& piece, bool appended);
  void eraseBetweenLocked(Range& range, uint64_t from, uint64_t to, std::vector<MemoryRef>& freed);
  void eraseLocked(Range& range, std::vector<MemoryRef>& freed);
  void cutLocked(File& file, uint64_t size, std::vector<MemoryRef>& freed);
  Ages& agesOf(const Range& range) { return range.appended ? appended_ : read_; }

  Arena& arena_;
  std::mutex mutex_;
  Ages appended_;
  Ages read_;
  Stats stats_;
};

}  // namespace kafabric
