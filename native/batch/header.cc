#include "batch/header.h"

#include <cstring>

#include "batch/bytes.h"
#include "batch/crc32c.h"

namespace kafabric {

BatchHeader BatchHeader::read(const uint8_t* b) {
  BatchHeader h;
  h.baseOffset = static_cast<int64_t>(loadBe64(b));
  h.batchLength = static_cast<int32_t>(loadBe32(b + 8));
  h.partitionLeaderEpoch = static_cast<int32_t>(loadBe32(b + 12));
  h.magic = static_cast<int8_t>(b[16]);
  h.crc = loadBe32(b + kBatchCrcAt);
  h.attributes = loadBe16(b + kBatchAttributesAt);
  h.lastOffsetDelta = static_cast<int32_t>(loadBe32(b + 23));
  h.baseTimestamp = static_cast<int64_t>(loadBe64(b + kBatchBaseTimestampAt));
  h.maxTimestamp = static_cast<int64_t>(loadBe64(b + kBatchMaxTimestampAt));
  h.producerId = static_cast<int64_t>(loadBe64(b + 43));
  h.producerEpoch = static_cast<int16_t>(loadBe16(b + 51));
  h.baseSequence = static_cast<int32_t>(loadBe32(b + 53));
  h.recordCount = static_cast<int32_t>(loadBe32(b + 57));
  return h;
}

uint32_t crcWithTimestamps(const uint8_t* batch, size_t length, uint16_t attributes, int64_t maxTimestamp) {
  constexpr size_t kCovered = kBatchHeaderBytes - kBatchCrcStart;
  uint8_t header[kBatchHeaderBytes];
  std::memcpy(header, batch, sizeof header);
  storeBe16(header + kBatchAttributesAt, attributes);
  storeBe64(header + kBatchMaxTimestampAt, static_cast<uint64_t>(maxTimestamp));
  // CRCs are linear: the difference of two headers, advanced over the records, is that of the two batches.
  uint32_t difference = crc32c(0, header + kBatchCrcStart, kCovered) ^ crc32c(0, batch + kBatchCrcStart, kCovered);
  return crc32cJoin(difference, loadBe32(batch + kBatchCrcAt), length - kBatchHeaderBytes);
}

void storeBatchCrc(uint8_t* batch, size_t length) {
  storeBe32(batch + kBatchCrcAt, crc32c(0, batch + kBatchCrcStart, length - kBatchCrcStart));
}

}  // namespace kafabric
