// Removed files whose space is written again by new ones.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "store/io.h"

namespace kafabric {

/**
 * Space that was written before takes up to twice the bytes a second of space that is new: nothing has to be found for it, by the file system
 * or by what lies below (a virtual machine's host, a thinly provisioned volume). So large files that are removed become
 * `recycled-N.free` of their log directory, up to a limit, and new files begin as one of those. It reads as zeros by then: old batches never
 * come back. Thread-safe; calls block.
 */
class RecycledFiles {
 public:
  /** Smaller ones are not worth keeping. */
  static constexpr uint64_t kMinBytes = 16 << 20;
  /** What a file system must have left for files to be kept: one part in so many. */
  static constexpr uint64_t kFreeShare = 20;

  struct Stats {
    uint64_t bytes = 0;  // kept
    uint64_t files = 0;  // of these
    uint64_t taken = 0;  // begun anew so far
  };

  /** `isRecorded`: whether somebody still means to write to a file that is closed. */
  explicit RecycledFiles(std::function<bool(dev_t, ino_t)> isRecorded) : isRecorded_(std::move(isRecorded)) {}

  /**
   * Removed files below `directory` are kept from now on, at most `limit` bytes of them; so is what an earlier process has kept. `asTheyAre`: not even
   * zeroed, for memory, where that costs as much as writing: only for files of which nobody reads what was not written again. Called again, it changes
   * the limit for files that are removed then.
   */
  void keepIn(const std::string& directory, uint64_t limit, bool asTheyAre = false);
  /** Removes a file, or a directory with all it holds. It may be gone already. */
  IoStatus remove(const std::string& path);
  /** How much is kept in `directory`, one given to keepIn. */
  uint64_t keptIn(const std::string& directory) const;
  /** Whether its file system has the space that files are kept at all. */
  static bool hasRoom(const std::string& directory);
  /** Keeps an open file of zeros that has no name yet (O_TMPFILE). False when it is too much, or cannot be named. */
  bool adopt(const std::string& directory, int fd, uint64_t size);
  /**
   * Makes `path`, which does not exist, from the largest kept file of its log directory that has at most `most` bytes. Its size, all of it
   * zeros unless files are kept as they are; 0 when there is none.
   */
  uint64_t take(const std::string& path, uint64_t most);
  /** Calls an operation that returns an errno value, and once more if the disk is full and all that is kept was given back for it. */
  template <typename Operation>
  int withSpace(Operation operation) {
    uint64_t before = givenBack_.load();
    int error = operation();
    bool full = error == ENOSPC || error == EDQUOT;
    return full && giveBack(before) ? operation() : error;
  }
  /** While it is held, no file is kept: what is opened by its name meanwhile is what had that name. */
  std::shared_lock<std::shared_mutex> opening() { return std::shared_lock(names_); }
  Stats stats() const;

 private:
  struct Pool {
    uint64_t limit = 0;
    bool asTheyAre = false;
    uint64_t bytes = 0;
    uint64_t next = 0;
    std::multimap<uint64_t, std::string> files;  // by size
  };

  /** The pool that a path belongs to, and its directory; null: none. */
  std::pair<const std::string, Pool>* poolOf(const std::string& path);
  bool worthKeeping(const struct stat& info) const;
  /** True when the file became one that is kept. */
  bool keep(const std::string& path);
  /** The name of the next file that is kept, when its size is within the limit; else empty. */
  std::string nameFor(const std::string& directory, uint64_t size);
  void record(const std::string& directory, const std::string& name, uint64_t size);
  std::string takeName(const std::string& path, uint64_t most, uint64_t& size, bool& asItIs);
  /** Lets go of all that is kept. True if that was anything, or has happened since the count was `before`. */
  bool giveBack(uint64_t before);
  /** Nothing is kept for `path` and its like any more: their file system cannot do it. */
  void disable(const std::string& path);

  const std::function<bool(dev_t, ino_t)> isRecorded_;
  std::shared_mutex names_;  // taken first
  std::mutex giving_;        // before mutex_
  mutable std::mutex mutex_;  // JavaScript waits for it: not held while the file system is asked, but at the start
  std::atomic<uint64_t> givenBack_{0};
  std::map<std::string, Pool> pools_;  // by directory
  uint64_t taken_ = 0;
};

}  // namespace kafabric
