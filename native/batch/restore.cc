#include "batch/restore.h"

#include <algorithm>
#include <climits>
#include <cstring>

#include "batch/bytes.h"
#include "batch/header.h"
#include "batch/record.h"
#include "batch/reference.h"
#include "codec/codec.h"

namespace kafabric {

namespace {

constexpr size_t kMaxVarints = 5 + 1 + 10 + 5 + 5 + 5;  // size, attributes, two deltas, key and value length

/** A record of a reference batch as it is restored: `valueLength` is that of the payload. */
struct Restored {
  int32_t keyLength;
  int32_t valueLength;
  size_t keyBytes;
  size_t valueBytes;
  size_t body;
};

bool isReference(const Record& record) {
  return record.valueLength == static_cast<int32_t>(kPayloadReferenceBytes) && std::memcmp(record.value, "KFPR", 4) == 0;
}

Restored measure(const Record& record) {
  Restored restored{};
  restored.keyLength = record.key ? record.keyLength : -1;
  uint32_t payload = record.value ? loadBe32(record.value + 40) : 0;
  restored.valueLength = record.value ? static_cast<int32_t>(payload) : -1;
  restored.keyBytes = restored.keyLength > 0 ? static_cast<size_t>(restored.keyLength) : 0;
  restored.valueBytes = payload;
  restored.body = 1 + varintSize(record.timestampDelta) + varintSize(record.offsetDelta) + varintSize(restored.keyLength) +
                  restored.keyBytes + varintSize(restored.valueLength) + restored.valueBytes + record.headersLength;
  return restored;
}

/** Calls `take` with each record of a reference batch; false when it is damaged. */
template <typename Take>
bool eachReference(const uint8_t* reference, size_t length, Take take) {
  if (length < kBatchHeaderBytes) return false;
  RecordCursor cursor(reference + kBatchHeaderBytes, length - kBatchHeaderBytes);
  Record record;
  while (!cursor.atEnd()) {
    if (cursor.next(record) != RecordFault::none) return false;
    if (record.value && (!isReference(record) || loadBe32(record.value + 40) > INT32_MAX)) return false;
    if (!take(record)) return false;
  }
  return true;
}

void appendRestored(const Record& record, const uint8_t* value, ByteBuffer& out) {
  Restored restored = measure(record);
  uint8_t* start = out.reserve(kMaxVarints + restored.keyBytes + restored.valueBytes + record.headersLength);
  uint8_t* p = writeVarint(start, static_cast<int64_t>(restored.body));
  *p++ = record.attributes;
  p = writeVarint(p, record.timestampDelta);
  p = writeVarint(p, record.offsetDelta);
  p = writeVarint(p, restored.keyLength);
  if (restored.keyBytes > 0) std::memcpy(p, record.key, restored.keyBytes);
  p = writeVarint(p + restored.keyBytes, restored.valueLength);
  if (restored.valueBytes > 0) std::memcpy(p, value, restored.valueBytes);
  p += restored.valueBytes;
  std::memcpy(p, record.headers, record.headersLength);
  out.commit(static_cast<size_t>(p + record.headersLength - start));
}

}  // namespace

size_t restoredBytes(const uint8_t* reference, size_t length) {
  size_t bytes = kBatchHeaderBytes;
  bool whole = eachReference(reference, length, [&](const Record& record) {
    size_t body = measure(record).body;
    bytes += static_cast<size_t>(varintSize(static_cast<int64_t>(body))) + body;
    return bytes <= INT32_MAX;
  });
  return whole ? bytes : 0;
}

void restoreBatch(const uint8_t* reference, size_t length, const uint8_t* extent, size_t extentLength, ByteBuffer& scratch,
                  ByteBuffer& out) {
  size_t bytes = restoredBytes(reference, length);
  if (bytes == 0) throw CodecError("a damaged reference batch");
  const uint8_t* section = extent;
  size_t sectionLength = extentLength;
  bool opened = false;
  int64_t maxTimestamp = -1;
  uint64_t baseTimestamp = loadBe64(reference + kBatchBaseTimestampAt);
  size_t start = out.size();
  out.reserve(bytes);
  out.append(reference, kBatchHeaderBytes);
  bool whole = eachReference(reference, length, [&](const Record& record) {
    if (record.value && !opened) {
      opened = true;
      int codec = loadBe16(record.value + 6) & kCompressionMask;
      if (codec >= kCodecs) return false;
      if (codec != 0) {
        scratch.clear();
        decompress(static_cast<Codec>(codec), extent, extentLength, loadBe32(record.value + 56), scratch);
        section = scratch.data();
        sectionLength = scratch.size();
      }
    }
    uint64_t valueStart = record.value ? loadBe32(record.value + 36) : 0;
    if (record.value && valueStart + loadBe32(record.value + 40) > sectionLength) return false;
    appendRestored(record, section + valueStart, out);
    maxTimestamp = std::max(maxTimestamp, static_cast<int64_t>(baseTimestamp + static_cast<uint64_t>(record.timestampDelta)));
    return true;
  });
  if (!whole) throw CodecError("a reference batch that does not belong to its payload");
  uint8_t* batch = out.data() + start;
  storeBe32(batch + 8, static_cast<uint32_t>(out.size() - start - kBatchLogOverhead));
  storeBe16(batch + kBatchAttributesAt, static_cast<uint16_t>(loadBe16(batch + kBatchAttributesAt) & ~(kReferenceBit | kCompressionMask)));
  // The reference batch has the header of what was produced: the newest record may be gone.
  if (!(loadBe16(batch + kBatchAttributesAt) & kLogAppendTimeBit)) storeBe64(batch + kBatchMaxTimestampAt, static_cast<uint64_t>(maxTimestamp));
  storeBatchCrc(batch, out.size() - start);
}

}  // namespace kafabric
