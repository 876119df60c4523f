// Reads through the cache: what is not there is read from the device into the arena, and ahead of those who read on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "arena/arena.h"
#include "store/io.h"
#include "store/range_cache.h"

namespace kafabric {

class Store;
class StoreFile;

struct ReadPieces {
  IoStatus status;
  std::vector<MemoryPiece> pieces;  // in order
  size_t length = 0;                // of all; less than wanted at the end of what has been appended
};

/** Thread-safe. */
class FileReader {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  /** Memory is not waited for. */
  static constexpr Deadline kNow = Deadline::min();

  FileReader(Store& store, Arena& arena);
  ~FileReader();

  /** What is in memory, if all of it is: `checked`, only as it was received, or checked when it was read. Never blocks. */
  bool find(StoreFile& file, uint64_t position, size_t length, bool checked, std::vector<MemoryPiece>& pieces);
  /** Blocks; waits for room in the arena until `deadline`. No piece that is read is larger than `maxPieceBytes`. */
  ReadPieces read(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length, size_t maxPieceBytes,
                  Deadline deadline);
  /** As `read`; many small pieces are copied together. */
  ReadPieces readFew(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length, size_t maxPieceBytes,
                     Deadline deadline);
  /** As `read`, in one piece: copied together unless it is. */
  ReadPieces readWhole(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length, Deadline deadline);
  /**
   * Copies to the caller's memory, and caches nothing: for looking through a file. `got` is less at the end of what is appended, and, with `onlyMemory`,
   * which never blocks, of what is in memory.
   */
  IoStatus readInto(StoreFile& file, uint64_t position, uint8_t* target, size_t length, size_t& got, bool onlyMemory = false);

  /** Ends all waiting, for good. */
  void stop();

 private:
  ReadPieces readApart(StoreFile& file, uint64_t position, size_t length, Deadline deadline);
  MemoryRef allocate(size_t length, Deadline deadline, IoStatus& status);
  int readDevice(StoreFile& file, uint8_t* target, size_t length, uint64_t position, size_t& got);
  MemoryPiece fill(StoreFile& file, uint64_t position, size_t length, bool ahead, Deadline deadline, IoStatus& status);
  MemoryPiece join(const std::vector<MemoryPiece>& pieces, size_t first, size_t end, size_t bytes, Deadline deadline,
                   IoStatus& status);
  void readAhead(const std::shared_ptr<StoreFile>& file, uint64_t from, uint64_t to);

  Store& store_;
  Arena& arena_;
  std::mutex mutex_;
  std::condition_variable freedMemory_;
  uint64_t freed_ = 0;  // counts announcements of freed memory
  bool stopping_ = false;
  int subscription_;
};

}  // namespace kafabric
