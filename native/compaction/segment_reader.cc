#include "compaction/segment_reader.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "batch/crc32c.h"

namespace kafabric {

SegmentReader::SegmentReader(const SourceSegment& segment, SegmentReading& reading, const std::vector<CheckedBatch>& dead)
    : segment_(segment),
      reading_(reading),
      file_(::open(segment.path.c_str(), O_RDONLY | O_CLOEXEC)),
      dead_(dead.begin()),
      deadEnd_(dead.end()) {
  if (file_.fd < 0) status_ = IoStatus::failure(errno, "cannot open", segment.path);
  else if (reading.direct) enableDirect(file_.fd, segment.path);
}

bool SegmentReader::damaged(const char* what) {
  status_ = {EBADMSG, segment_.path + " at " + std::to_string(position_) + ": " + what};
  return false;
}

/** So many bytes from the position on; null after a failure. */
const uint8_t* SegmentReader::view(size_t bytes) {
  if (findInMemory(bytes)) return cached_.bytes + (position_ - cachedFrom_);
  if (position_ < start_ || position_ + bytes > end_) {
    if (!load(bytes)) return nullptr;
  }
  return reading_.buffer.memory.get() + (position_ - start_);
}

/** Whether they lie in one piece in the arena. */
bool SegmentReader::findInMemory(size_t bytes) {
  auto holds = [&] { return cached_ && position_ >= cachedFrom_ && position_ + bytes <= cachedFrom_ + cached_.length; };
  if (holds()) return true;
  if (!reading_.cache || !segment_.file || (position_ >= start_ && position_ + bytes <= end_)) return false;
  RangeCache::Found found = reading_.cache->peek(segment_.file->cached(), position_, static_cast<size_t>(segment_.size - position_));
  cached_ = std::move(found.piece);
  cachedFrom_ = position_;
  cachedChecked_ = found.checked;
  return holds();
}

/** How far to read ahead of `from`, which is worth it up to a batch of which the header is enough. */
uint64_t SegmentReader::worthReadingTo(uint64_t from) const {
  uint64_t end = std::min(from + std::max<size_t>(reading_.bufferBytes, kMaxBlockBytes), segment_.size);
  auto behind = std::find_if(dead_, deadEnd_, [&](const CheckedBatch& batch) { return batch.position >= position_; });
  return behind == deadEnd_ ? end : std::min(end, behind->position);
}

/** Makes sure that so many bytes from the position on are in the buffer. */
bool SegmentReader::load(size_t bytes) {
  uint64_t from = roundDown(position_, kMaxBlockBytes);
  auto wanted = static_cast<size_t>(roundUp(std::max(position_ + bytes, worthReadingTo(from)) - from, kMaxBlockBytes));
  // What is there already moves to the front; the end of what was read is a whole block unless the file ends there.
  size_t held = from >= start_ && from < end_ ? static_cast<size_t>(roundDown(end_ - from, kMaxBlockBytes)) : 0;
  AlignedBuffer& buffer = reading_.buffer;
  if (wanted > buffer.capacity) {
    AlignedBuffer larger(std::max<size_t>(wanted, roundUp(reading_.bufferBytes, kMaxBlockBytes)));
    if (held > 0) std::memcpy(larger.memory.get(), buffer.memory.get() + (from - start_), held);
    buffer = std::move(larger);
  } else if (held > 0) {
    std::memmove(buffer.memory.get(), buffer.memory.get() + (from - start_), held);
  }
  if (held == 0) bufferChecked_ = true;
  start_ = from;
  end_ = from + held;
  if (!fill(from + wanted)) return false;
  reading_.onRead(static_cast<size_t>(end_ - from) - held);
  return position_ + bytes <= end_ || damaged("the file ends too early");
}

/** Continues the buffer, which has the room, up to `to` or the end of the file. */
bool SegmentReader::fill(uint64_t to) {
  uint8_t* buffer = reading_.buffer.memory.get();
  while (end_ < to) {
    auto wanted = static_cast<size_t>(to - end_);
    size_t gap = wanted;
    if (reading_.cache && segment_.file) {
      RangeCache::Found found = reading_.cache->peek(segment_.file->cached(), end_, wanted);
      if (found.piece) {
        std::memcpy(buffer + (end_ - start_), found.piece.bytes, found.piece.length);
        end_ += found.piece.length;
        bufferChecked_ = bufferChecked_ && found.checked;
        continue;
      }
      gap = found.gap;
    }
    // Whole blocks: of the first, what is there already is read again.
    uint64_t from = roundDown(end_, kMaxBlockBytes);
    auto length = static_cast<size_t>(std::min(roundUp(end_ + gap, kMaxBlockBytes), to) - from);
    size_t got = 0;
    if (int error = readFully(file_.fd, buffer + (from - start_), length, from, got); error != 0) {
      status_ = IoStatus::failure(error, "cannot read", segment_.path);
      return false;
    }
    bufferChecked_ = false;
    if (from + got <= end_) break;
    end_ = from + got;
  }
  return true;
}

bool SegmentReader::nextHeader(const uint8_t*& bytes, BatchHeader& header) {
  position_ = next_;
  if (!status_.ok() || position_ >= segment_.size) return false;
  if (segment_.size - position_ < kBatchHeaderBytes) return damaged("an incomplete batch");
  while (dead_ != deadEnd_ && dead_->position < position_) ++dead_;
  bytes = dead_ != deadEnd_ && dead_->position == position_ ? dead_->header : view(kBatchHeaderBytes);
  if (!bytes) return false;
  header_ = header = BatchHeader::read(bytes);
  if (header.magic != 2 || header.batchLength < 0 || header.sizeBytes() < kBatchHeaderBytes) return damaged("no batch of format version 2");
  if (header.sizeBytes() > segment_.size - position_) return damaged("an incomplete batch");
  if (header.recordCount < 0 || header.lastOffsetDelta < 0 || header.baseOffset < 0) return damaged("a batch header that contradicts itself");
  next_ = position_ + header.sizeBytes();
  return true;
}

bool SegmentReader::readBatch(const uint8_t*& batch) {
  size_t length = header_.sizeBytes();
  batch = view(length);
  if (!batch) return false;
  bool isCached = cached_ && batch == cached_.bytes + (position_ - cachedFrom_);
  if (isCached) reading_.onRead(length);
  if (isCached ? cachedChecked_ : bufferChecked_) return true;
  return crc32c(0, batch + kBatchCrcStart, length - kBatchCrcStart) == header_.crc || damaged("a batch whose checksum is wrong");
}

}  // namespace kafabric
