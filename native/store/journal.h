// Appends that were acknowledged from memory and are not in their files yet, kept where a killed process leaves them.
//
// Entries lie in the journal region of a shared arena (SharedFile) and point at bytes in its data. After a kill the next process
// writes them to their files: replayJournals, before it opens any of these.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "store/io.h"

namespace kafabric {

struct JournalRegion;

/** Which of a number of slots are free; taking and giving back need no lock, allocation or system call. */
class FreeSlots {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  explicit FreeSlots(uint32_t count);
  /** The slot that was given back last, then those never used, lowest first; kNone when all are taken. */
  uint32_t take() noexcept;
  void give(uint32_t slot) noexcept;

 private:
  std::unique_ptr<std::atomic<uint32_t>[]> next_;  // by slot: the one below it on the stack
  std::atomic<uint64_t> top_{0};                   // slot (low half), and a count of changes against ABA (high half)
};

/** What tells a file from others. A file system that is mounted anew may have another device number; its files keep the rest. */
struct FileIdentity {
  uint64_t device;
  uint64_t inode;
  uint64_t birthNs = 0;  // as birthOf
};

/** Thread-safe. The arena must outlive it. */
class Journal {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMaxEntries = 65'536;
  static constexpr uint32_t kMaxFiles = 16'384;
  static constexpr size_t kMaxPathBytes = 479;

  struct Stats {
    uint64_t entries = 0;      // live
    uint64_t bytes = 0;        // of these
    uint64_t peakEntries = 0;  // about: threads that add at the same time may be missed
    uint64_t refusals = 0;     // entries and files for which there was no room
  };

  /** The journal of an arena, shared by all who ask while somebody has it; null when its memory is not shared. */
  static std::shared_ptr<Journal> of(Arena& arena);
  /** `arena.shared()` must be true, and the arena have no other journal. */
  explicit Journal(Arena& arena);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /**
   * Names a file for entries; an absolute path. A file that took its name is not written.
   * kNone: the table is full, or the path too long or not absolute.
   */
  uint32_t addFile(const std::string& path, const FileIdentity& identity) noexcept;
  /** None of its entries may be live. */
  void removeFile(uint32_t file) noexcept;
  /** Leaves its entries to the next process. May be called again. */
  void abandonFile(uint32_t file);
  /** The next process will write to this file: nothing may be written to it before. */
  bool abandoned(const std::string& path, uint64_t device, uint64_t inode) const;
  /** As above, whatever its name is by now. */
  bool abandoned(uint64_t device, uint64_t inode) const;

  /**
   * Once it returns, a kill no longer loses these bytes, which lie in the arena and must stay as they are until `remove`. kNone
   * when there is no room, or the shared memory was released. O(1), no lock, system call or allocation.
   */
  uint32_t add(uint32_t file, uint64_t position, const uint8_t* bytes, size_t length) noexcept;
  /** When the bytes are in their file; before they are given back to the arena. */
  void remove(uint32_t entry) noexcept;

  Stats stats() const;

 private:
  /** Takes the slots of what an earlier journal of the arena has left. */
  void keepLive();

  SharedFile& shared_;
  JournalRegion& region_;
  const uint8_t* base_;
  FreeSlots entries_{kMaxEntries};
  FreeSlots files_{kMaxFiles};
  mutable std::mutex abandonedMutex_;
  std::set<uint32_t> abandoned_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> live_{0};
  std::atomic<uint64_t> peak_{0};
  std::atomic<uint64_t> refusals_{0};
};

struct ReplayReport {
  uint64_t entries = 0;  // written, with their bytes
  uint64_t bytes = 0;
  uint64_t files = 0;         // written to
  uint64_t skippedFiles = 0;  // gone, or another file has their name: the topic was deleted
  uint64_t keptFiles = 0;     // their file system is not there, or another one in its place
  /** Shared memory with what is for these. */
  std::vector<std::string> kept;
  /** Shared memory whose owner still lives after a few seconds; left alone. */
  uint64_t inUse = 0;
  /** Shared memory that was not understood, and why. It stays where it is, and nothing of it was written. */
  std::vector<std::string> problems;
};

/**
 * For every shared memory of `place` but `own` (a path, may be empty) whose owner is dead: writes its live entries to their files and flushes these, then removes
 * it; entries of files whose file system is not mounted stay there for a later replay. It may be killed at any point and run again, as long as nothing else writes to these files between. A failure to write
 * or flush is returned in `status` and names the file; that shared memory stays for another attempt. Blocks.
 */
ReplayReport replayJournals(const SharedPlace& place, const std::string& own, IoStatus& status);

/** Shared memory of a process that is dead. */
struct AbandonedMemory {
  std::string path;
  uint64_t bytes = 0;    // that it takes
  uint64_t entries = 0;  // acknowledged, and not written to their files
  std::string file;      // one of these files; empty without entries
  bool removed = false;
};

/**
 * Finds shared memory of `place`, without a name of all in its directories, whose owner is dead, and was made `age` ago at least: what is younger may be of a process that is about to
 * be started again. `remove`: removes what has no entries, in which there is nothing that a replay would write; the rest stays for that, always. What is not this user's,
 * or not understood, is left out. Blocks.
 */
std::vector<AbandonedMemory> findAbandoned(const SharedPlace& place, std::chrono::seconds age, bool remove);

}  // namespace kafabric
