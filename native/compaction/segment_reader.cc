#include "compaction/segment_reader.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "batch/crc32c.h"

namespace kafabric {

SegmentReader::SegmentReader(const std::string& path, uint64_t size, size_t bufferBytes, bool direct, OnRead onRead)
    : path_(path),
      file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
      size_(size),
      bufferBytes_(static_cast<size_t>(roundUp(std::max<size_t>(bufferBytes, kMaxBlockBytes), kMaxBlockBytes))),
      onRead_(std::move(onRead)) {
  if (file_.fd < 0) status_ = IoStatus::failure(errno, "cannot open", path);
  else if (direct) enableDirect(file_.fd, path);
}

bool SegmentReader::damaged(const char* what) {
  status_ = {EBADMSG, path_ + " at " + std::to_string(position_) + ": " + what};
  return false;
}

/** Makes sure that so many bytes from the position on are in the buffer. */
bool SegmentReader::load(size_t bytes) {
  if (position_ >= start_ && position_ + bytes <= end_) return true;
  uint64_t from = roundDown(position_, kMaxBlockBytes);
  size_t needed = static_cast<size_t>(roundUp(position_ + bytes - from, kMaxBlockBytes));
  size_t wanted = std::max(needed, bufferBytes_);
  // What is there already moves to the front; the end of what was read is a whole block unless the file ends there.
  size_t held = from >= start_ && from < end_ ? static_cast<size_t>(roundDown(end_ - from, kMaxBlockBytes)) : 0;
  if (wanted > capacity_) {
    AlignedMemory larger = allocateAligned(wanted);
    if (held > 0) std::memcpy(larger.get(), buffer_.get() + (from - start_), held);
    buffer_ = std::move(larger);
    capacity_ = wanted;
  } else if (held > 0) {
    std::memmove(buffer_.get(), buffer_.get() + (from - start_), held);
  }
  size_t got = 0;
  int error = readFully(file_.fd, buffer_.get() + held, wanted - held, from + held, got);
  if (error != 0) {
    status_ = IoStatus::failure(error, "cannot read", path_);
    return false;
  }
  start_ = from;
  end_ = from + held + got;
  onRead_(got);
  return position_ + bytes <= end_ || damaged("the file ends too early");
}

bool SegmentReader::next(const uint8_t*& batch, BatchHeader& header) {
  if (!status_.ok() || atEnd()) return false;
  if (size_ - position_ < kBatchHeaderBytes) return damaged("an incomplete batch");
  if (!load(kBatchHeaderBytes)) return false;
  header = BatchHeader::read(buffer_.get() + (position_ - start_));
  if (header.magic != 2 || header.batchLength < 0 || header.sizeBytes() < kBatchHeaderBytes) return damaged("no batch of format version 2");
  if (header.sizeBytes() > size_ - position_) return damaged("an incomplete batch");
  if (header.recordCount < 0 || header.lastOffsetDelta < 0 || header.baseOffset < 0) return damaged("a batch header that contradicts itself");
  if (!load(header.sizeBytes())) return false;
  batch = buffer_.get() + (position_ - start_);
  if (crc32c(0, batch + kBatchCrcStart, header.sizeBytes() - kBatchCrcStart) != header.crc) return damaged("a batch whose checksum is wrong");
  position_ += header.sizeBytes();
  return true;
}

}  // namespace kafabric
