// The only cache: ranges of files that are in arena memory, because they were appended or read lately.
//
// What is appended stays where it was received until other memory is asked for; the arena then takes the oldest ranges back
// (Arena::setReclaimer). What was read from the device and somebody has had goes first, for it is needed once, or by consumers that
// are close together; what is read once more after it gave way is kept as long as what is appended (as in 2Q, VLDB 1994), if the
// arena can hold so much. Ranges that are not yet on the device stay. A range that a reply is being sent from leaves the cache like
// any other; its memory is free when the reply is sent.
//
// Fresh pages cost more than reading again what nobody may ask for, so the arena grows (Arena::want) by what cannot give way:
// what is in use otherwise, or was read ahead of somebody who has not come yet. What waits to be written has the room of what is
// merely cached, which gives way to it, and makes the arena grow where it is more. It grows for what is merely
// cached when that is missed, by as much as was read again, up to what was taken in since the oldest that was, if the arena can hold so
// much. Who reads from farther back, or for the first time, is none the better for it.
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
  enum class Source : uint8_t {
    appended,
    ahead,  // read from the device, and nobody has had its end
    read,
  };
  struct Range {
    File* file;
    uint64_t position;
    MemoryPiece piece;
    Source source;
    uint64_t since;  // what had been taken in before, see takenIn
    bool checked = false;
    bool again = false;  // it was read before, and missed when it had given way
    Range* older = nullptr;
    Range* newer = nullptr;
    uint64_t end() const { return position + piece.length; }
  };
  /** Ranges of about the same place and age that gave way. */
  struct Gone {
    uint64_t from;
    uint64_t to;
    uint64_t since;  // of the oldest
    bool appended;
  };
  /** So many are known of a file, each taken in while one part in so many of the arena's capacity was. */
  static constexpr size_t kGone = 32;

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
    std::vector<Gone> gone;  // the last at the end; at most kGone
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
  /**
   * Takes in what was read, for somebody who has it, or ahead; `cuts` is of before the read began, so that nothing that was cut off
   * meanwhile comes back.
   */
  void addRead(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts, bool ahead);
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
  /** As find, for looking through a file: what is read ahead of somebody is still due to him. */
  Found peek(File& file, uint64_t position, size_t length);
  /** Counts what a read found. */
  void hit(uint64_t bytes);
  /** Counts what a read had to fetch from the device, unless it was read ahead. */
  void missed(uint64_t bytes);
  /** Bytes at `position` came from the device, ahead or not: the arena grows by as many if it could have held them. */
  void fetched(File& file, uint64_t position, uint64_t bytes);
  /** Counts bytes that were appended and wait to be written, in what is cached; negative when they are written, or are not to be. */
  void waiting(int64_t bytes) { waiting_ += bytes; }
  /** More of a file is on the device: it can give way to who waits for memory. */
  void announceWritten() { arena_.announceReclaimable(); }

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
  /** Bytes that the arena has to hold: what is not merely cached, and some of what is. */
  size_t needed();
  Range* rangeAtLocked(File& file, uint64_t position);
  static Found foundIn(const Range& range, uint64_t position, size_t length);
  static Found notFound(const File& file, uint64_t position, size_t length);
  void insertLocked(File& file, uint64_t position, const MemoryPiece& piece, Source source);
  void linkLocked(Range& range);
  void unlinkLocked(Range& range);
  void rememberLocked(const Range& range);
  /** What gave way and held the position, if it could have stayed in an arena as large as this may get. */
  const Gone* missedLocked(const File& file, uint64_t position) const;
  uint64_t takenInSinceLocked(const Gone& gone) const { return takenInLocked(gone.appended) - gone.since; }
  /** Bytes, ever: what was read gives way to what is appended, but not the other way round. */
  uint64_t takenInLocked(bool appended) const { return appended ? appended_ : appended_ + read_; }
  void shrinkLocked(Range& range, size_t length);
  void eraseBetweenLocked(Range& range, uint64_t from, uint64_t to, std::vector<MemoryRef>& freed);
  void eraseLocked(Range& range, std::vector<MemoryRef>& freed);
  void cutLocked(File& file, uint64_t size, std::vector<MemoryRef>& freed);
  Ages& agesOf(const Range& range) { return range.source == Source::read && !range.again ? had_ : kept_; }

  Arena& arena_;
  std::mutex mutex_;
  Ages had_;
  Ages kept_;
  Stats stats_;
  uint64_t appended_ = 0;  // bytes, ever
  uint64_t read_ = 0;
  size_t ahead_ = 0;       // bytes in ranges that were read ahead
  uint64_t lacked_ = 0;    // bytes by which the arena is to grow, in steps
  size_t reach_ = 0;       // the most that was taken in since something that was missed
  std::atomic<int64_t> waiting_{0};
};

}  // namespace kafabric
