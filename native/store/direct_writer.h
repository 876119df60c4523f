// Writes bytes that lie anywhere in memory to any position of a file with direct I/O, which takes whole blocks only.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "store/aligned_memory.h"

namespace kafabric {

/** The last, partly filled block of a file, to be written again with what follows. Empty when it is not known. */
class BlockTail {
 public:
  bool holds(uint64_t start, size_t length) const { return bytes_ && start_ == start && length_ >= length; }
  const uint8_t* bytes() const { return bytes_.get(); }
  void set(uint64_t start, const uint8_t* bytes, size_t length, size_t block);
  void forget() { bytes_.reset(); }

 private:
  AlignedMemory bytes_;
  uint64_t start_ = 0;
  size_t length_ = 0;
};

/**
 * One run of appends. Memory whose address suits its position is written from where it is; all else, and the blocks at the edges, is
 * gathered in a buffer of the thread. Blocks are filled up with zeros. For one thread, and one writer of a file at a time.
 */
class DirectWriter {
 public:
  /**
   * `position` is where the first byte goes; what its block holds before comes from `tail` or from the file, of which everything
   * below `end` is written.
   */
  DirectWriter(int fd, size_t block, uint64_t position, uint64_t end, BlockTail& tail);

  /** Behind what was added before; a gap in between is at least to the next block, and becomes zeros. 0 or an errno value, after which the writer is done. */
  int add(uint64_t position, const uint8_t* bytes, size_t length);
  /** Writes the rest. 0 or an errno value. */
  int finish();
  /** Up to where what was added is on the device. */
  uint64_t written() const { return written_; }
  /** Bytes of what was added that were gathered. */
  uint64_t gathered() const { return gathered_; }

 private:
  int begin();
  int gather(const uint8_t* bytes, size_t length);
  int skipTo(uint64_t position);
  void fillBlock();
  void addVector(const uint8_t* bytes, size_t length);
  int flush();

  const int fd_;
  const size_t block_;
  BlockTail& tail_;
  uint8_t* const buffer_;
  size_t buffered_ = 0;
  std::vector<iovec> vectors_;
  uint64_t flushedTo_;  // the block from which the vectors are written
  uint64_t at_;         // what was added ends here
  uint64_t written_;
  uint64_t gathered_ = 0;
  const bool blockIsNew_;  // nothing was written to the first block
  bool begun_ = false;
};

}  // namespace kafabric
