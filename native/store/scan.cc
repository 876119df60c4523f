#include "store/scan.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "batch/crc32c.h"
#include "store/file_reader.h"

namespace kafabric {

namespace {

constexpr size_t kWindowBytes = 256 * 1024;
constexpr size_t kHeaderWindowBytes = 4096;
/** More are not looked for by a caller that does not block: it has other things to do. */
constexpr size_t kMostInMemory = 64;

/** A part of the file in memory, moved as needed. */
class Window {
 public:
  Window(FileReader& reader, StoreFile& file, const ScanRange& range)
      : reader_(reader), file_(file), fileBytes_(range.fileBytes), onlyMemory_(range.onlyMemory), bytes_(new uint8_t[kWindowBytes]) {}

  /** `length` bytes (at most kWindowBytes) at `position`; null when the file ends before or cannot be read. */
  const uint8_t* at(uint64_t position, size_t length, size_t readAhead) {
    if (position >= start_ && position + length <= start_ + size_) return bytes_.get() + (position - start_);
    if (position > fileBytes_ || length > fileBytes_ - position) return nullptr;
    size_t wanted = std::min<uint64_t>(std::max(length, readAhead), fileBytes_ - position);
    start_ = position;
    status_ = reader_.readInto(file_, position, bytes_.get(), wanted, size_, onlyMemory_);
    if (onlyMemory_ && size_ < length) status_ = {EAGAIN, "not in memory"};
    return status_.ok() && size_ >= length ? bytes_.get() : nullptr;
  }
  const IoStatus& status() const { return status_; }

 private:
  FileReader& reader_;
  StoreFile& file_;
  uint64_t fileBytes_;
  bool onlyMemory_;
  std::unique_ptr<uint8_t[]> bytes_;
  uint64_t start_ = 0;
  size_t size_ = 0;
  IoStatus status_;
};

bool crcMatches(Window& window, uint64_t position, const BatchHeader& header) {
  uint32_t crc = 0;
  uint64_t end = position + header.sizeBytes();
  for (uint64_t at = position + kBatchCrcStart; at < end;) {
    size_t step = static_cast<size_t>(std::min<uint64_t>(kWindowBytes, end - at));
    const uint8_t* bytes = window.at(at, step, kWindowBytes);
    if (!bytes) return false;
    crc = crc32c(crc, bytes, step);
    at += step;
  }
  return crc == header.crc;
}

bool onlyZeros(Window& window, uint64_t position, uint64_t end) {
  while (position < end) {
    size_t step = static_cast<size_t>(std::min<uint64_t>(kWindowBytes, end - position));
    const uint8_t* bytes = window.at(position, step, kWindowBytes);
    if (!bytes || std::any_of(bytes, bytes + step, [](uint8_t byte) { return byte != 0; })) return false;
    position += step;
  }
  return true;
}

/** Whether a batch may continue the file; says why not in `reason`. */
bool accept(Window& window, uint64_t position, const BatchHeader& header, const ScanRange& range, ScanEnd& reason) {
  if (header.magic != 2 || header.batchLength < 0 || header.sizeBytes() < kBatchHeaderBytes) {
    bool zeros = header.magic == 0 && header.batchLength == 0 && onlyZeros(window, position, range.fileBytes);
    reason = zeros ? ScanEnd::zeros : ScanEnd::corrupt;
    return false;
  }
  reason = ScanEnd::torn;
  if (header.sizeBytes() > range.fileBytes - position) return false;
  reason = ScanEnd::corrupt;
  return !range.verifyCrc || crcMatches(window, position, header);
}

/** How much to read at once behind `header`: large batches are jumped over, and what is behind the range is not looked at. */
size_t windowFor(const BatchHeader& header, const ScanRange& range, uint64_t end) {
  if (range.verifyCrc) return kWindowBytes;
  if (range.onlyMemory || header.sizeBytes() >= kWindowBytes / 4 || end - range.position >= range.maxBytes) return kHeaderWindowBytes;
  uint64_t left = range.maxBytes - (end - range.position);
  return static_cast<size_t>(std::clamp<uint64_t>(left, kHeaderWindowBytes, kWindowBytes));
}

}  // namespace

ScanResult scanBatches(FileReader& reader, StoreFile& file, const ScanRange& range) {
  Window window(reader, file, range);
  ScanResult result;
  result.end = range.position;
  size_t readAhead = range.verifyCrc ? kWindowBytes : kHeaderWindowBytes;
  while (result.end - range.position < range.maxBytes && result.batches.size() < range.maxBatches) {
    uint64_t position = result.end;
    if (range.onlyMemory && result.batches.size() == kMostInMemory) {
      result.status = {EAGAIN, "too many batches"};
      return result;
    }
    if (position >= range.fileBytes) {
      result.reason = ScanEnd::endOfFile;
      return result;
    }
    const uint8_t* bytes = window.at(position, kBatchHeaderBytes, readAhead);
    if (!bytes) {
      result.status = window.status();
      bool zeros = result.status.ok() && onlyZeros(window, position, range.fileBytes);
      result.reason = zeros ? ScanEnd::zeros : ScanEnd::torn;
      return result;
    }
    BatchHeader header = BatchHeader::read(bytes);
    if (!accept(window, position, header, range, result.reason)) {
      result.status = window.status();
      return result;
    }
    result.batches.push_back({header, position});
    result.end = position + header.sizeBytes();
    readAhead = windowFor(header, range, result.end);
  }
  result.reason = ScanEnd::limit;
  return result;
}

}  // namespace kafabric
