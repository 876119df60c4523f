// Removed files whose space is written again by new ones.
#pragma once

#include <sys/types.h>

#include <cstdint>
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

  /** Removed files below `directory` are kept from now on, at most `limit` bytes of them; so is what an earlier process has kept. */
  void keepIn(const std::string& directory, uint64_t limit);
  /** Removes a file, or a directory with all it holds. It may be gone already. */
  IoStatus remove(const std::string& path);
  /**
   * Makes `path`, which does not exist, from the largest kept file of its log directory that has at most `most` bytes. Its size, all of it
   * zeros; 0 when there is none.
   */
  uint64_t take(const std::string& path, uint64_t most);
  /** The disk of `path` is full: lets go of what is kept there. True if that was anything. */
  bool giveBack(const std::string& path);
  /** While it is held, no file is kept: what is opened by its name meanwhile is what had that name. */
  std::shared_lock<std::shared_mutex> opening() { return std::shared_lock(names_); }
  Stats stats() const;

 private:
  struct Pool {
    uint64_t limit;
    uint64_t bytes = 0;
    uint64_t next = 0;
    std::multimap<uint64_t, std::string> files;  // by size
  };

  /** The pool that a path belongs to, and its directory; null: none. */
  std::pair<const std::string, Pool>* poolOf(const std::string& path);
  /** True when the file became one that is kept. */
  bool keep(const std::string& path);
  std::string takeName(const std::string& path, uint64_t most, uint64_t& size);

  std::shared_mutex names_;  // taken before mutex_
  mutable std::mutex mutex_;
  std::map<std::string, Pool> pools_;  // by directory
  uint64_t taken_ = 0;
};

}  // namespace kafabric
