// The threads and limits that a process's files share.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "arena/arena.h"
#include "store/io.h"
#include "store/store_file.h"
#include "store/thread_pool.h"

namespace kafabric {

struct StoreOptions {
  /** Threads each for writing, for flushing and for reading. */
  unsigned threads = 4;
  /** How long a read waits for room in the arena. */
  std::chrono::milliseconds memoryTimeout{10'000};
};

struct StoreCounters {
  std::atomic<uint64_t> queuedBytes{0};  // appended and not yet written
  std::atomic<uint64_t> appends{0};
  std::atomic<uint64_t> writes{0};  // groups of appends written
  std::atomic<uint64_t> bytesWritten{0};
  std::atomic<uint64_t> syncs{0};  // fdatasync calls
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> bytesRead{0};
  std::atomic<uint64_t> memoryWaits{0};  // reads that found the arena full
};

struct OpenOptions {
  bool create = false;
  bool readOnly = false;
  /** Space to reserve from the start of the file, in bytes; given back on close. Ignored where the file system cannot. */
  uint64_t preallocateBytes = 0;
};

class Store {
 public:
  explicit Store(const StoreOptions& options, Arena& arena = Arena::process());
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /** Opens a file; blocks, so call it on a thread of the store. Null, and the reason in `status`, when that fails. */
  std::shared_ptr<StoreFile> open(const std::string& path, const OpenOptions& options, IoStatus& status);

  struct ReadResult {
    IoStatus status;
    MemoryRef memory;   // at least one byte long, also when nothing was read
    size_t length = 0;  // bytes read: fewer than wanted at the end of what has been written
    uint32_t crc = 0;
  };
  /**
   * Reads into arena memory on a reading thread and reports there. Waits while the arena is full; ETIMEDOUT after the configured
   * time. With `withCrc` the CRC-32C of what was read is computed on the way, continuing from `seed`.
   */
  void read(std::shared_ptr<StoreFile> file, uint64_t position, size_t length, bool withCrc, uint32_t seed,
            std::function<void(ReadResult)> done);

  /** Finishes what was queued and ends the threads. */
  void stop();

  ThreadPool& writers() { return writers_; }
  ThreadPool& syncers() { return syncers_; }
  StoreCounters& counters() { return counters_; }

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  ReadResult readNow(const StoreFile& file, uint64_t position, size_t length, bool withCrc, uint32_t seed,
                     Deadline deadline);
  MemoryRef allocate(size_t length, Deadline deadline, IoStatus& status);

  const StoreOptions options_;
  Arena& arena_;
  StoreCounters counters_;

  std::mutex memoryMutex_;
  std::condition_variable memoryFreed_;
  uint64_t freed_ = 0;  // counts announcements of freed memory
  bool stopping_ = false;
  int subscription_;

  ThreadPool writers_;
  ThreadPool syncers_;
  ThreadPool readers_;
};

}  // namespace kafabric
