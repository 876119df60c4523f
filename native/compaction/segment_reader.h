// Reads the batches of a complete segment file one after the other: from the arena what of it is still there, the rest from the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "batch/header.h"
#include "compaction/checked_batches.h"
#include "store/aligned_memory.h"
#include "store/descriptor.h"
#include "store/io.h"
#include "store/range_cache.h"
#include "store/store_file.h"

namespace kafabric {

struct SourceSegment {
  std::string path;
  uint64_t size;       // of the batches in the file
  uint64_t position;   // where to begin: a batch starts here
  int64_t endOffset;   // where the next segment begins
  /** The same file, if it is open; what is cached of it is not read from the device. */
  std::shared_ptr<StoreFile> file = nullptr;
};

/** What the readers of a round share, one after the other. */
struct SegmentReading {
  /** How much is read at once; a larger batch takes more. */
  size_t bufferBytes;
  bool direct;
  /** Null: all is read from the device. */
  RangeCache* cache = nullptr;
  /** Called with the bytes that were read, from wherever. */
  std::function<void(size_t)> onRead = [](size_t) {};
  AlignedBuffer buffer{};
};

class SegmentReader {
 public:
  /** `dead`: batches of which the header is enough, in the order of their positions. */
  SegmentReader(const SourceSegment& segment, SegmentReading& reading, const std::vector<CheckedBatch>& dead = {});
  SegmentReader(const SegmentReader&) = delete;
  SegmentReader& operator=(const SegmentReader&) = delete;

  /** Goes on at a batch that begins at `position`; it begins at the start of the file. */
  void seek(uint64_t position) { next_ = position; }
  /** The next batch, whole and with the right CRC, valid until the next call. False at the end, and after a failure. */
  bool next(const uint8_t*& batch, BatchHeader& header) { return nextHeader(batch, header) && readBatch(batch); }
  /** The header of the next batch, to be read, or left out by asking for the one behind it. Its CRC has not been looked at. */
  bool nextHeader(const uint8_t*& bytes, BatchHeader& header);
  /** All of the batch whose header was read last. */
  bool readBatch(const uint8_t*& batch);
  /** Where that begins. */
  uint64_t position() const { return position_; }
  /** Whether none follows it. */
  bool isLast() const { return next_ >= segment_.size; }
  /** Why there is none; EBADMSG for damage. */
  const IoStatus& status() const { return status_; }

 private:
  const uint8_t* view(size_t bytes);
  bool findInMemory(size_t bytes);
  bool load(size_t bytes);
  uint64_t worthReadingTo(uint64_t from) const;
  bool fill(uint64_t to);
  bool damaged(const char* what);

  const SourceSegment& segment_;
  SegmentReading& reading_;
  Descriptor file_;
  IoStatus status_;
  std::vector<CheckedBatch>::const_iterator dead_;
  std::vector<CheckedBatch>::const_iterator deadEnd_;
  uint64_t position_ = 0;
  uint64_t next_ = 0;
  BatchHeader header_{};
  uint64_t start_ = 0;  // what of the file is in the buffer
  uint64_t end_ = 0;
  bool bufferChecked_ = false;  // all of it was checked when it came into the arena
  MemoryPiece cached_;  // and what of it lies in the arena, from cachedFrom_ on
  uint64_t cachedFrom_ = 0;
  bool cachedChecked_ = false;
};

}  // namespace kafabric
