#include "batch/claims.h"

#include <cstring>

#include "batch/bytes.h"
#include "batch/header.h"
#include "batch/record.h"
#include "batch/reference.h"

namespace kafabric {

namespace {

/** Of a value's length, as reference batches have it. */
constexpr size_t kLengthBytes = 2;

uint8_t* put(uint8_t* to, const uint8_t* from, const uint8_t* end) {
  auto bytes = static_cast<size_t>(end - from);
  std::memcpy(to, from, bytes);
  return to + bytes;
}

bool isLengthOfReference(const uint8_t* at) {
  uint8_t expected[kLengthBytes];
  writeVarint(expected, kPayloadReferenceBytes);
  return std::memcmp(at, expected, kLengthBytes) == 0;
}

}  // namespace

size_t claimReferences(const uint8_t* batch, size_t length, const uint8_t* claim, uint8_t* out, size_t room) {
  if (length < kBatchHeaderBytes || room < length) return 0;
  uint8_t* to = put(out, batch, batch + kBatchHeaderBytes);
  RecordCursor cursor(batch + kBatchHeaderBytes, length - kBatchHeaderBytes);
  size_t left = room - length;
  while (!cursor.atEnd()) {
    const uint8_t* start = cursor.position();
    Record record;
    if (cursor.next(record) != RecordFault::none) return 0;
    const uint8_t* end = cursor.position();
    if (!record.value || record.valueLength != static_cast<int32_t>(kPayloadReferenceBytes)) {
      to = put(to, start, end);
      continue;
    }
    if (left < kClaimGrowthBytes || !isLengthOfReference(record.value - kLengthBytes)) return 0;
    left -= kClaimGrowthBytes;
    int32_t size = 0;
    readVarint(start, end, size);
    to = writeVarint(to, size + static_cast<int64_t>(kClaimBytes));
    to = put(to, start, record.value - kLengthBytes);
    to = writeVarint(to, kPayloadReferenceBytes + kClaimBytes);
    to = put(to, record.value, record.value + kPayloadReferenceBytes);
    to = put(to, claim, claim + kClaimBytes);
    to = put(to, record.value + kPayloadReferenceBytes, end);
  }
  auto written = static_cast<size_t>(to - out);
  storeBe32(out + sizeof(uint64_t), static_cast<uint32_t>(written - kBatchLogOverhead));
  storeBatchCrc(out, written);
  return written;
}

}  // namespace kafabric
