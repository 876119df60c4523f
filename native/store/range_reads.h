// Ranges of a file that are wanted together, each in one piece and checked: extents of payload, mostly neighbours.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "store/file_reader.h"
#include "store/io.h"
#include "store/range_cache.h"

namespace kafabric {

class Store;
class StoreFile;

struct ReadRange {
  uint64_t position = 0;
  size_t length = 0;
  /** What its CRC-32C continues from; nothing: none is computed. */
  std::optional<uint32_t> seed;
  /** What that is to be: then it need not be checked again while it is in memory. */
  std::optional<uint32_t> expected;
};

struct RangeRead {
  IoStatus status;
  /** Its length is what was read: less than wanted at the end of what has been appended. Of none, the memory is there nevertheless. */
  MemoryPiece piece;
  uint32_t crc = 0;
};

/**
 * One call's ranges. Those that lie behind each other with gaps as small as extents have are read from the device at once, into one piece of memory of
 * which each has its part: a request, a wake-up and a fetch of pages for each of them cost more than the gaps.
 */
class RangeReads : public std::enable_shared_from_this<RangeReads> {
 public:
  /** One result for each range, in their order; called once, on the thread that has read the last, or on the caller's when nothing can be read. */
  using Done = std::function<void(std::vector<RangeRead>)>;

  RangeReads(Store& store, std::shared_ptr<StoreFile> file, std::vector<ReadRange> ranges, FileReader::Deadline deadline, Done done);
  /** Reads on the store's threads. */
  void start();

 private:
  size_t endOfRun(size_t first) const;
  void readRun(size_t first, size_t end);
  void refuseRun(size_t first, size_t end);
  RangeRead readAlone(const ReadRange& range);
  void check(const ReadRange& range, RangeRead& read, uint64_t cuts);
  void ended(size_t ranges);

  Store& store_;
  const std::shared_ptr<StoreFile> file_;
  const std::vector<ReadRange> ranges_;
  const FileReader::Deadline deadline_;
  const Done done_;
  std::vector<RangeRead> results_;
  std::atomic<size_t> missing_;
};

}  // namespace kafabric
