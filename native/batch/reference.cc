#include "batch/reference.h"

#include <cstring>

#include "batch/bytes.h"
#include "batch/crc32c.h"
#include "batch/header.h"
#include "batch/record.h"

namespace kafabric {

namespace {

constexpr uint8_t kMagic[4] = {'K', 'F', 'P', 'R'};
constexpr uint8_t kVersion = 1;
constexpr size_t kMaxVarints = 5 + 1 + 10 + 5 + 5 + 5;  // size, attributes, two deltas, key and value length

/** Joining CRCs takes about as long as summing so many bytes once more while they are in the nearest cache. */
constexpr size_t kJoinBytes = 4096;

/** What is being turned into references, and the CRC of its bytes up to `summed`. */
struct Section {
  const uint8_t* start;
  size_t length;
  const uint8_t* summed = start;
  uint32_t crc = 0;

  void sumTo(const uint8_t* end) {
    crc = crc32c(crc, summed, static_cast<size_t>(end - summed));
    summed = end;
  }
  /** Sums up to the end of a value, and returns the value's own CRC. */
  uint32_t sumValue(const uint8_t* value, size_t bytes) {
    sumTo(value);
    uint32_t own = crc32c(0, value, bytes);
    crc = bytes < kJoinBytes ? crc32c(crc, value, bytes) : crc32cJoin(crc, own, bytes);
    summed = value + bytes;
    return own;
  }
};

/** The fields of a payload reference that do not depend on where the extent is. */
void writeReference(uint8_t* p, const Record& record, uint32_t index, Section& section) {
  std::memset(p, 0, kPayloadReferenceBytes);
  std::memcpy(p, kMagic, sizeof(kMagic));
  p[4] = kVersion;
  storeBe32(p + 36, static_cast<uint32_t>(record.value - section.start));
  storeBe32(p + 40, static_cast<uint32_t>(record.valueLength));
  storeBe32(p + 44, section.sumValue(record.value, static_cast<size_t>(record.valueLength)));
  storeBe32(p + 52, index);
  storeBe32(p + 56, static_cast<uint32_t>(section.length));
}

void appendRecord(const Record& record, uint32_t index, Section& section, ByteBuffer& out) {
  int32_t keyLength = record.key ? record.keyLength : -1;
  int32_t valueLength = record.value ? static_cast<int32_t>(kPayloadReferenceBytes) : -1;
  size_t keyBytes = keyLength > 0 ? static_cast<size_t>(keyLength) : 0;
  size_t valueBytes = record.value ? kPayloadReferenceBytes : 0;
  size_t body = 1 + varintSize(record.timestampDelta) + varintSize(record.offsetDelta) + varintSize(keyLength) +
                keyBytes + varintSize(valueLength) + valueBytes + record.headersLength;
  uint8_t* start = out.reserve(kMaxVarints + keyBytes + valueBytes + record.headersLength);
  uint8_t* p = writeVarint(start, static_cast<int64_t>(body));
  *p++ = record.attributes;
  p = writeVarint(p, record.timestampDelta);
  p = writeVarint(p, record.offsetDelta);
  p = writeVarint(p, keyLength);
  if (keyBytes) std::memcpy(p, record.key, keyBytes);
  p = writeVarint(p + keyBytes, valueLength);
  if (record.value) writeReference(p, record, index, section);
  p += valueBytes;
  std::memcpy(p, record.headers, record.headersLength);
  out.commit(static_cast<size_t>(p + record.headersLength - start));
}

bool isReference(const Record& record) {
  return record.valueLength == static_cast<int32_t>(kPayloadReferenceBytes) &&
         std::memcmp(record.value, kMagic, sizeof(kMagic)) == 0 && record.value[4] == kVersion;
}

/** Whether each value in the records section is null or a payload reference. */
bool holdsReferences(const uint8_t* section, size_t length, uint32_t count) {
  RecordCursor cursor(section, length);
  Record record;
  for (uint32_t i = 0; i < count; ++i) {
    if (cursor.next(record) != RecordFault::none) return false;
    if (record.value && !isReference(record)) return false;
  }
  return cursor.atEnd();
}

}  // namespace

uint32_t buildReferenceTemplate(const uint8_t* header, const uint8_t* section, size_t length, ByteBuffer& out) {
  size_t start = out.size();
  out.append(header, kBatchHeaderBytes);
  Section summed{section, length};
  RecordCursor cursor(section, length);
  Record record;
  for (uint32_t index = 0; !cursor.atEnd() && cursor.next(record) == RecordFault::none; ++index)
    appendRecord(record, index, summed, out);
  summed.sumTo(section + length);
  uint8_t* batch = out.data() + start;
  storeBe32(batch + 8, static_cast<uint32_t>(out.size() - start - kBatchLogOverhead));
  uint16_t attributes = loadBe16(header + kBatchAttributesAt);
  storeBe16(batch + kBatchAttributesAt, (attributes & ~kCompressionMask) | kReferenceBit);
  storeBatchCrc(batch, out.size() - start);
  return summed.crc;
}

bool locateReference(uint8_t* reference, size_t length, const uint8_t* originalHeader, const ExtentLocation& location) {
  if (length < kBatchHeaderBytes) return false;
  BatchHeader original = BatchHeader::read(originalHeader);
  BatchHeader own = BatchHeader::read(reference);
  uint8_t* section = reference + kBatchHeaderBytes;
  size_t sectionLength = length - kBatchHeaderBytes;
  if (own.batchLength < 0 || own.sizeBytes() != length || !(own.attributes & kReferenceBit) ||
      own.recordCount != original.recordCount || own.recordCount < 0 || original.batchLength < 0 ||
      original.sizeBytes() < kBatchHeaderBytes ||
      !holdsReferences(section, sectionLength, static_cast<uint32_t>(own.recordCount)))
    return false;
  RecordCursor cursor(section, sectionLength);
  Record record;
  while (!cursor.atEnd() && cursor.next(record) == RecordFault::none) {
    if (!record.value) continue;
    uint8_t* p = section + (record.value - section);
    storeBe16(p + 6, original.attributes);
    storeBe32(p + 8, original.crc);
    storeBe32(p + 12, location.storeId);
    storeBe64(p + 16, location.segmentId);
    storeBe64(p + 24, location.position);
    storeBe32(p + 32, static_cast<uint32_t>(original.sizeBytes() - kBatchHeaderBytes));
    storeBe32(p + 48, static_cast<uint32_t>(original.recordCount));
  }
  std::memcpy(reference, originalHeader, 8);
  std::memcpy(reference + 12, originalHeader + 12, 4);
  std::memcpy(reference + 23, originalHeader + 23, kBatchHeaderBytes - 23);
  storeBe16(reference + kBatchAttributesAt, (original.attributes & ~kCompressionMask) | kReferenceBit);
  storeBatchCrc(reference, length);
  return true;
}

}  // namespace kafabric
