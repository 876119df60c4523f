// Space that nobody has used yet, written once before it is needed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "store/recycled_files.h"
#include "store/thread_pool.h"

namespace kafabric {

/**
 * Writes zeros to new files and keeps them among the recycled ones, so that the first segments are written as fast as those that follow removed
 * ones: see RecycledFiles for why space that was never written is slower. Works for a quarter of the time, so that the
 * device is others'. A file gets its name when all of it is there; a process that ends before leaves nothing behind. Thread-safe.
 */
class SpacePreparer {
 public:
  explicit SpacePreparer(RecycledFiles& recycled) : recycled_(recycled) {}
  ~SpacePreparer() { stop(); }

  /**
   * Until `bytes` are kept in `directory`, which RecycledFiles knows, in files of `fileBytes`. Returns at once. Ends early where the file system
   * has no files without a name or (without `buffered`) no direct I/O, is nearly full, or the limit of what is kept is reached.
   */
  void prepare(const std::string& directory, uint64_t bytes, uint64_t fileBytes, bool buffered = false);
  /** Ends what is under way. May be called more than once. */
  void stop();

 private:
  bool prepareFile(const std::string& directory, uint64_t fileBytes, bool buffered);
  /** 0, or an errno value. */
  int fill(int fd, uint64_t bytes);

  RecycledFiles& recycled_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::unique_ptr<ThreadPool> thread_;  // of the first use
};

}  // namespace kafabric
