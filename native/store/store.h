// The threads, limits and cache that a process's files share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "store/client_io.h"
#include "store/file_reader.h"
#include "store/holes.h"
#include "store/io.h"
#include "store/journal.h"
#include "store/persistent_memory.h"
#include "store/range_cache.h"
#include "store/range_reads.h"
#include "store/recycled_files.h"
#include "store/space_preparer.h"
#include "store/store_file.h"
#include "store/thread_pool.h"
#include "store/write_behind.h"

namespace kafabric {

struct StoreOptions {
  /** Threads each for writing, for flushing and for reading. */
  unsigned threads = 4;
  /** How long a read waits for room in the arena. */
  std::chrono::milliseconds memoryTimeout{10'000};
  /** Bypass the page cache where the file system can. */
  bool direct = true;
  /** How long an append that was acknowledged from memory waits for others to be written with it. */
  std::chrono::milliseconds writeDelay{25};
  /** Threads for copying whole files; 0: none are copied. */
  unsigned copyThreads = 0;
};

struct StoreCounters {
  std::atomic<uint64_t> queuedBytes{0};  // appended and not yet written
  std::atomic<uint64_t> appends{0};
  std::atomic<uint64_t> acknowledged{0};  // appends that were acknowledged from memory
  std::atomic<uint64_t> writes{0};        // groups of appends written
  std::atomic<uint64_t> bytesWritten{0};
  std::atomic<uint64_t> bytesGathered{0};
  std::atomic<uint64_t> syncs{0};  // fdatasync calls
  std::atomic<uint64_t> reads{0};  // system calls' worth of reading from files
  std::atomic<uint64_t> bytesRead{0};
  std::atomic<uint64_t> memoryWaits{0};  // reads that found the arena full
};

struct OpenOptions {
  bool create = false;
  bool readOnly = false;
  /** Space to reserve from the start of the file, in bytes; given back on close. Ignored where the file system cannot. */
  uint64_t preallocateBytes = 0;
  /**
   * A file that is created may begin with as much space of a removed one; given back on close. See RecycledFiles. Nor is more allocated ahead, as long as
   * the file does not need it.
   */
  uint64_t recycledBytes = 0;
  /**
   * A file that is created has so much space before its first append, which then need not wait for it; given back on close. Where that fails, and
   * without direct I/O, the file begins without.
   */
  uint64_t aheadBytes = 0;
};

class Store {
 public:
  explicit Store(const StoreOptions& options, Arena& arena = Arena::process());
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /** Opens a file; blocks, so call it on a thread of the store. Null, and the reason in `status`, when that fails. */
  std::shared_ptr<StoreFile> open(const std::string& path, const OpenOptions& options, IoStatus& status);
  /** Removes a file, or a directory with all it holds; keeps the space of large files for new ones where that is wanted. Blocks. */
  IoStatus remove(const std::string& path) { return recycled_.remove(path); }
  /** As copyRange and publishCopy in store/file_copy.h; for threads of `copiers`. */
  IoStatus copy(const std::string& from, const std::string& to, uint64_t position, uint64_t length, uint64_t& copied);
  IoStatus publish(const std::string& from, const std::string& copy, const std::string& to);
  /** As punchHoles in store/holes.h; EBUSY, and nothing is done, while parts of the file wait to be sent from it. Blocks. */
  IoStatus punch(const std::string& path, const std::vector<FileRange>& ranges, Punched& punched);
  /** Makes a directory, and those above it; it may be there. Blocks. */
  IoStatus makeDirectory(const std::string& path);
  /** As rename(2). Blocks. */
  IoStatus rename(const std::string& from, const std::string& to);
  /** As writeAtomically. Blocks. */
  IoStatus replace(const std::string& path, const uint8_t* bytes, size_t length);

  /** Reads ranges of a file on reading threads, or from the cache. Waits while the arena is full; ETIMEDOUT after the configured time. */
  void read(std::shared_ptr<StoreFile> file, std::vector<ReadRange> ranges, RangeReads::Done done);
  /** The same for one range, in pieces as they are in memory; small ones may be copied together. Reports on the thread that read. */
  void readPieces(std::shared_ptr<StoreFile> file, uint64_t position, size_t length,
                  std::function<void(ReadPieces)> done);

  /** Finishes what was queued and ends the threads. */
  void stop();

  ThreadPool& writers() { return writers_; }
  ThreadPool& syncers() { return syncers_; }
  ThreadPool& readers() { return readers_; }
  /** Null without threads for it. */
  ThreadPool* copiers() { return copiers_.get(); }
  /** For what takes its time and nobody waits for: a topic that is deleted has many files, and large ones. */
  ThreadPool& removers() { return removers_; }
  WriteBehind& writeBehind() { return writeBehind_; }
  StoreCounters& counters() { return counters_; }
  /** Counts bytes that were appended and wait to be written; negative when they no longer do. */
  void queued(int64_t bytes);
  ClientIo& clientIo() { return clientIo_; }
  RangeCache& cache() { return *cache_; }
  FileReader& reader() { return reader_; }
  RecycledFiles& recycled() { return recycled_; }
  SpacePreparer& preparer() { return preparer_; }
  PersistentDirectories& persistent() { return persistent_; }
  /** Null where nothing can be acknowledged from memory. */
  Journal* journal() { return journal_.get(); }
  /** False while so much waits to be written that appending has to wait for the device. */
  bool mayAcknowledge() const;

 private:
  /** An open file as its name was found; `created`: there was none. */
  struct Opened {
    int fd;
    bool created;
    uint64_t recycledBytes;  // of a new file
  };
  Opened openByName(const std::string& path, const OpenOptions& options);

  const StoreOptions options_;
  Arena& arena_;
  StoreCounters counters_;
  ClientIo clientIo_;
  std::shared_ptr<RangeCache> cache_;
  std::shared_ptr<Journal> journal_;
  RecycledFiles recycled_;
  SpacePreparer preparer_;
  PersistentDirectories persistent_;
  WriteBehind writeBehind_;
  ThreadPool writers_;
  ThreadPool syncers_;
  ThreadPool readers_;
  std::unique_ptr<ThreadPool> copiers_;
  ThreadPool removers_{4};
  FileReader reader_;
};

}  // namespace kafabric
