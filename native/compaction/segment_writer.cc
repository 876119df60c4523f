#include "compaction/segment_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "batch/bytes.h"

namespace kafabric {

namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kOffsetEntryBytes = 8;
constexpr size_t kTimeEntryBytes = 12;
constexpr const char* kLog = ".log.cleaned";
constexpr const char* kOffsetIndex = ".index.cleaned";
constexpr const char* kTimeIndex = ".timeindex.cleaned";

int syncFile(int fd) {
  while (::fsync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

SegmentWriter::SegmentWriter(const SegmentTarget& target, bool direct, WithSpace withSpace)
    : target_(target), withSpace_(std::move(withSpace)), file_(-1), buffer_(allocateAligned(kBufferBytes)) {
  std::string name = path(kLog);
  int error = withSpace_([&] {
    file_.fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return file_.fd < 0 ? errno : 0;
  });
  if (error != 0) failed(error, "cannot create", name);
  else if (direct) block_ = enableDirect(file_.fd, name);
}

SegmentWriter::~SegmentWriter() {
  if (finished_) return;
  for (const char* suffix : {kLog, kOffsetIndex, kTimeIndex}) ::unlink(path(suffix).c_str());
}

bool SegmentWriter::failed(int error, const char* what, const std::string& path) {
  status_ = IoStatus::failure(error, what, path);
  return false;
}

/** Writes the first `length` bytes of the buffer. */
bool SegmentWriter::flush(size_t length) {
  int error = withSpace_([&] {
    std::vector<iovec> parts{{buffer_.get(), length}};
    size_t written = 0;
    return writeFully(file_.fd, parts, written_, written, std::max<size_t>(block_, 1));
  });
  if (error != 0) return failed(error, "cannot write", path(kLog));
  written_ += length;
  buffered_ -= length;
  return true;
}

bool SegmentWriter::append(const uint8_t* batch, size_t length, int64_t lastOffset, int64_t maxTimestamp) {
  if (!status_.ok()) return false;
  index(size_, lastOffset, maxTimestamp, length);
  size_ += length;
  while (length > 0) {
    size_t taken = std::min(length, kBufferBytes - buffered_);
    std::memcpy(buffer_.get() + buffered_, batch, taken);
    buffered_ += taken;
    batch += taken;
    length -= taken;
    if (buffered_ == kBufferBytes && !flush(kBufferBytes)) return false;
  }
  return true;
}

/** As SegmentIndexes.add does for what is appended. */
void SegmentWriter::index(uint64_t position, int64_t lastOffset, int64_t maxTimestamp, size_t length) {
  if (maxTimestamp > maxTimestamp_) {
    maxTimestamp_ = maxTimestamp;
    offsetOfMaxTimestamp_ = lastOffset;
  }
  if (bytesSinceEntry_ > target_.indexIntervalBytes) {
    bool isFull = offsets_.size() + kOffsetEntryBytes > target_.maxIndexBytes;
    if (!isFull && lastOffset > lastIndexedOffset_) {
      uint8_t* entry = offsets_.reserve(kOffsetEntryBytes);
      storeBe32(entry, static_cast<uint32_t>(lastOffset - target_.baseOffset));
      storeBe32(entry + 4, static_cast<uint32_t>(position));
      offsets_.commit(kOffsetEntryBytes);
      lastIndexedOffset_ = lastOffset;
    }
    addTime(false);
    bytesSinceEntry_ = 0;
  }
  bytesSinceEntry_ += length;
}

/** The last place is kept for the entry that closes the segment. */
void SegmentWriter::addTime(bool closing) {
  size_t needed = times_.size() + kTimeEntryBytes * (closing ? 1 : 2);
  if (needed > target_.maxIndexBytes || maxTimestamp_ <= lastIndexedTimestamp_) return;
  uint8_t* entry = times_.reserve(kTimeEntryBytes);
  storeBe64(entry, static_cast<uint64_t>(maxTimestamp_));
  storeBe32(entry + 8, static_cast<uint32_t>(offsetOfMaxTimestamp_ - target_.baseOffset));
  times_.commit(kTimeEntryBytes);
  lastIndexedTimestamp_ = maxTimestamp_;
}

bool SegmentWriter::writeIndex(const std::string& path, const ByteBuffer& content) {
  int error = withSpace_([&] {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.fd < 0) return errno;
    std::vector<iovec> parts{{const_cast<uint8_t*>(content.data()), content.size()}};
    size_t written = 0;
    int result = content.size() > 0 ? writeFully(file.fd, parts, 0, written) : 0;
    return result != 0 ? result : syncFile(file.fd);
  });
  return error == 0 || failed(error, "cannot write", path);
}

bool SegmentWriter::finish() {
  if (!status_.ok()) return false;
  std::string name = path(kLog);
  // The end of a file need not be whole blocks.
  if (block_ > 0 && buffered_ % block_ != 0) {
    int flags = ::fcntl(file_.fd, F_GETFL);
    if (flags < 0 || ::fcntl(file_.fd, F_SETFL, flags & ~O_DIRECT) != 0) return failed(errno, "cannot write", name);
    block_ = 0;
  }
  if (buffered_ > 0 && !flush(buffered_)) return false;
  timespec time{target_.modifiedMs / 1000, target_.modifiedMs % 1000 * 1'000'000};
  timespec times[2] = {time, time};
  if (::futimens(file_.fd, times) != 0) return failed(errno, "cannot date", name);
  if (int error = syncFile(file_.fd); error != 0) return failed(error, "cannot flush", name);
  addTime(true);
  finished_ = writeIndex(path(kOffsetIndex), offsets_) && writeIndex(path(kTimeIndex), times_);
  return finished_;
}

}  // namespace kafabric
