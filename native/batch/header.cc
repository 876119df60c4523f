#include "batch/header.h"

#include "batch/bytes.h"
#include "batch/crc32c.h"

namespace kafabric {

BatchHeader BatchHeader::read(const uint8_t* b) {
  BatchHeader h;
  h.baseOffset = static_cast<int64_t>(loadBe64(b));
  h.batchLength = static_cast<int32_t>(loadBe32(b + 8));
  h.partitionLeaderEpoch = static_cast<int32_t>(loadBe32(b + 12));
  h.magic = static_cast<int8_t>(b[16]);
  h.crc = loadBe32(b + 17);
  h.attributes = loadBe16(b + kBatchAttributesAt);
  h.lastOffsetDelta = static_cast<int32_t>(loadBe32(b + 23));
  h.baseTimestamp = static_cast<int64_t>(loadBe64(b + 27));
  h.maxTimestamp = static_cast<int64_t>(loadBe64(b + 35));
  h.producerId = static_cast<int64_t>(loadBe64(b + 43));
  h.producerEpoch = static_cast<int16_t>(loadBe16(b + 51));
  h.baseSequence = static_cast<int32_t>(loadBe32(b + 53));
  h.recordCount = static_cast<int32_t>(loadBe32(b + 57));
  return h;
}

void patchOffsetAndEpoch(uint8_t* batch, int64_t baseOffset, int32_t leaderEpoch) {
  storeBe64(batch, static_cast<uint64_t>(baseOffset));
  storeBe32(batch + 12, static_cast<uint32_t>(leaderEpoch));
}

void patchTimestamp(uint8_t* batch, size_t length, bool logAppendTime, int64_t maxTimestamp) {
  uint16_t before = loadBe16(batch + kBatchAttributesAt);
  uint16_t after = logAppendTime ? before | kLogAppendTimeBit : before & ~kLogAppendTimeBit;
  if (before == after && static_cast<int64_t>(loadBe64(batch + 35)) == maxTimestamp) return;
  storeBe16(batch + kBatchAttributesAt, after);
  storeBe64(batch + 35, static_cast<uint64_t>(maxTimestamp));
  storeBatchCrc(batch, length);
}

void storeBatchCrc(uint8_t* batch, size_t length) {
  storeBe32(batch + 17, crc32c(0, batch + kBatchCrcStart, length - kBatchCrcStart));
}

}  // namespace kafabric
