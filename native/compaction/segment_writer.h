// Writes a segment and its indexes as Kafka lays them out, and makes them durable under names that say that they are not part of the log yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "codec/buffer.h"
#include "store/aligned_memory.h"
#include "store/descriptor.h"
#include "store/io.h"

namespace kafabric {

struct SegmentTarget {
  /** Of the files, without what follows the offset: `.log.cleaned`, `.index.cleaned` and `.timeindex.cleaned` are written. */
  std::string stem;
  int64_t baseOffset;
  int64_t modifiedMs;  // the time of change that the log file gets
  size_t indexIntervalBytes;
  size_t maxIndexBytes;
};

class SegmentWriter {
 public:
  /** Runs a task that returns an errno value, again if need be when it has made room on a full disk. */
  using WithSpace = std::function<int(const std::function<int()>&)>;

  SegmentWriter(const SegmentTarget& target, bool direct, WithSpace withSpace);
  /** Removes the files again unless `finish` was called and went well. */
  ~SegmentWriter();

  bool append(const uint8_t* batch, size_t length, int64_t lastOffset, int64_t maxTimestamp);
  /** Makes everything durable but the files' names. */
  bool finish();
  uint64_t size() const { return size_; }
  const IoStatus& status() const { return status_; }

 private:
  bool flush(size_t length);
  void index(uint64_t position, int64_t lastOffset, int64_t maxTimestamp, size_t length);
  void addTime(bool closing);
  bool writeIndex(const std::string& path, const ByteBuffer& content);
  bool failed(int error, const char* what, const std::string& path);
  std::string path(const char* suffix) const { return target_.stem + suffix; }

  SegmentTarget target_;
  WithSpace withSpace_;
  Descriptor file_;
  size_t block_ = 0;
  AlignedMemory buffer_;
  size_t buffered_ = 0;
  uint64_t written_ = 0;
  uint64_t size_ = 0;
  ByteBuffer offsets_;
  ByteBuffer times_;
  size_t bytesSinceEntry_ = 0;
  int64_t maxTimestamp_ = -1;
  int64_t offsetOfMaxTimestamp_ = -1;
  int64_t lastIndexedOffset_ = -1;
  int64_t lastIndexedTimestamp_ = -1;
  bool finished_ = false;
  IoStatus status_;
};

}  // namespace kafabric
