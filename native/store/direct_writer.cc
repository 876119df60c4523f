#include "store/direct_writer.h"

#include <algorithm>
#include <cstring>

#include "store/io.h"

namespace kafabric {

namespace {

constexpr size_t kBufferBytes = size_t{4} << 20;
/** One system call: what the device takes at once with little to gain from more. */
constexpr uint64_t kMaxBytesPerWrite = 8 << 20;
constexpr size_t kMaxVectors = 512;
/** Less is copied: a block at each edge is copied anyway. */
constexpr size_t kMinInPlaceBytes = 16 << 10;

uint8_t* threadBuffer() {
  thread_local AlignedMemory buffer = allocateAligned(kBufferBytes);
  return buffer.get();
}

}  // namespace

void BlockTail::set(uint64_t start, const uint8_t* bytes, size_t length, size_t block) {
  if (!bytes_) bytes_ = allocateAligned(block);
  std::memcpy(bytes_.get(), bytes, length);
  start_ = start;
  length_ = length;
}

DirectWriter::DirectWriter(int fd, size_t block, uint64_t position, uint64_t end, BlockTail& tail)
    : fd_(fd),
      block_(block),
      tail_(tail),
      buffer_(threadBuffer()),
      flushedTo_(roundDown(position, block)),
      at_(position),
      written_(position),
      blockIsNew_(flushedTo_ >= end) {}

/** The part of the first block that was written before. */
int DirectWriter::begin() {
  begun_ = true;
  auto before = static_cast<size_t>(at_ - flushedTo_);
  if (before == 0) return 0;
  if (tail_.holds(flushedTo_, before)) {
    std::memcpy(buffer_, tail_.bytes(), before);
  } else if (blockIsNew_) {
    std::memset(buffer_, 0, before);
  } else {
    size_t got = 0;
    int error = readFully(fd_, buffer_, block_, flushedTo_, got);
    if (error != 0) return error;
    if (got < before) std::memset(buffer_ + got, 0, before - got);
  }
  addVector(buffer_, before);
  buffered_ = before;
  return 0;
}

int DirectWriter::add(uint64_t position, const uint8_t* bytes, size_t length) {
  int error = begun_ ? 0 : begin();
  if (error == 0 && position > at_) error = skipTo(position);
  if (error != 0) return error;
  auto edge = static_cast<size_t>(roundUp(at_, block_) - at_);
  bool inPlace = length >= edge + kMinInPlaceBytes && reinterpret_cast<uintptr_t>(bytes + edge) % block_ == 0;
  if (!inPlace) return gather(bytes, length);
  error = gather(bytes, edge);
  if (error != 0) return error;
  auto whole = static_cast<size_t>(roundDown(length - edge, block_));
  addVector(bytes + edge, whole);
  at_ += whole;
  bool full = vectors_.size() >= kMaxVectors || at_ - flushedTo_ >= kMaxBytesPerWrite;
  if (full && (error = flush()) != 0) return error;
  return gather(bytes + edge + whole, length - edge - whole);
}

int DirectWriter::gather(const uint8_t* bytes, size_t length) {
  gathered_ += length;
  while (length > 0) {
    if (buffered_ == kBufferBytes) {
      int error = flush();
      if (error != 0) return error;
    }
    size_t part = std::min(length, kBufferBytes - buffered_);
    std::memcpy(buffer_ + buffered_, bytes, part);
    addVector(buffer_ + buffered_, part);
    buffered_ += part;
    at_ += part;
    bytes += part;
    length -= part;
  }
  return 0;
}

int DirectWriter::skipTo(uint64_t position) {
  fillBlock();
  uint64_t start = roundDown(position, block_);
  int error = start > roundUp(at_, block_) || buffered_ == kBufferBytes ? flush() : 0;
  if (error != 0) return error;
  if (vectors_.empty()) flushedTo_ = start;
  auto before = static_cast<size_t>(position - start);
  std::memset(buffer_ + buffered_, 0, before);
  if (before > 0) addVector(buffer_ + buffered_, before);
  buffered_ += before;
  at_ = position;
  return 0;
}

/** Zeros behind what was added, up to the end of its block. */
void DirectWriter::fillBlock() {
  auto rest = static_cast<size_t>(roundUp(at_, block_) - at_);
  if (rest == 0) return;
  // The last bytes of a block were gathered, so there is room for all of it.
  std::memset(buffer_ + buffered_, 0, rest);
  addVector(buffer_ + buffered_, rest);
  buffered_ += rest;
}

void DirectWriter::addVector(const uint8_t* bytes, size_t length) {
  if (!vectors_.empty()) {
    iovec& last = vectors_.back();
    if (static_cast<uint8_t*>(last.iov_base) + last.iov_len == bytes) {
      last.iov_len += length;
      return;
    }
  }
  vectors_.push_back({const_cast<uint8_t*>(bytes), length});
}

/** Called with whole blocks only. */
int DirectWriter::flush() {
  if (vectors_.empty()) return 0;
  size_t count = 0;
  int error = writeFully(fd_, vectors_, flushedTo_, count, block_);
  written_ = std::max(written_, std::min(at_, flushedTo_ + count));
  vectors_.clear();
  buffered_ = 0;
  flushedTo_ = roundUp(at_, block_);
  if (error != 0) tail_.forget();
  return error;
}

int DirectWriter::finish() {
  uint64_t start = roundDown(at_, block_);
  auto length = static_cast<size_t>(at_ - start);
  if (length > 0) tail_.set(start, buffer_ + buffered_ - length, length, block_);
  fillBlock();
  return flush();
}

}  // namespace kafabric
