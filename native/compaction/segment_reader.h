// Reads the batches of a complete segment file one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "batch/header.h"
#include "store/aligned_memory.h"
#include "store/descriptor.h"
#include "store/io.h"

namespace kafabric {

class SegmentReader {
 public:
  /** Called with the bytes of each read. */
  using OnRead = std::function<void(size_t)>;

  /** `size`: of the batches in the file. `bufferBytes`: how much is read at once; a larger batch takes more. */
  SegmentReader(const std::string& path, uint64_t size, size_t bufferBytes, bool direct, OnRead onRead);

  /** Goes on at a batch that begins at `position`. */
  void seek(uint64_t position) { position_ = position; }
  /** The next batch, whole and with the right CRC, valid until the next call. False at the end, and after a failure. */
  bool next(const uint8_t*& batch, BatchHeader& header);
  /** Why `next` returned false; EBADMSG for damage. */
  const IoStatus& status() const { return status_; }
  bool atEnd() const { return position_ >= size_; }

 private:
  bool load(size_t bytes);
  bool damaged(const char* what);

  std::string path_;
  Descriptor file_;
  uint64_t size_;
  size_t bufferBytes_;
  OnRead onRead_;
  IoStatus status_;
  AlignedMemory buffer_;
  size_t capacity_ = 0;
  uint64_t position_ = 0;  // of the next batch
  uint64_t start_ = 0;     // what of the file is in the buffer
  uint64_t end_ = 0;
};

}  // namespace kafabric
