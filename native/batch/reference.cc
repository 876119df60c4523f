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

/** A CRC of what follows another stretch: joined with it, or summed anew where that is quicker. */
uint32_t append(uint32_t before, uint32_t own, const uint8_t* bytes, size_t length) {
  if (before == 0) return own;
  return length < kJoinBytes ? crc32c(before, bytes, length) : crc32cJoin(before, own, length);
}

/** What is being turned into references, and the CRCs of its bytes up to `summed`: each byte is read once for all of them. */
class Section {
 public:
  Section(const uint8_t* start, size_t length, std::vector<uint32_t>* pieces, const KnownSums& known)
      : start_(start), length_(length), known_(known), summed_(start), pieces_(length < kPiecedExtentBytes ? nullptr : pieces) {
    if (!pieces_) return;
    pieces_->reserve((length + kExtentPieceBytes - 1) / kExtentPieceBytes);
    pieceEnd_ = start + kExtentPieceBytes;
  }

  const uint8_t* start() const { return start_; }
  size_t length() const { return length_; }

  /** Sums up to the end of a value, and returns the value's own CRC. */
  uint32_t sumValue(const uint8_t* value, size_t bytes) {
    sumTo(value);
    uint32_t own = 0;
    for (const uint8_t* end = value + bytes; summed_ < end;) {
      size_t step = stepTo(end);
      uint32_t crc = known_.sum(0, summed_, step);
      own = append(own, crc, summed_, step);
      take(append(piece_, crc, summed_, step), step);
    }
    return own;
  }

  /** The CRC of all. */
  uint32_t finish() {
    sumTo(start_ + length_);
    if (!pieces_) return piece_;
    if (size_t rest = length_ % kExtentPieceBytes) {
      pieces_->push_back(piece_);
      whole_ = crc32cJoin(whole_, piece_, rest);
    }
    return whole_;
  }

 private:
  void sumTo(const uint8_t* end) {
    while (summed_ < end) {
      size_t step = stepTo(end);
      take(crc32c(piece_, summed_, step), step);
    }
  }

  size_t stepTo(const uint8_t* end) const {
    return static_cast<size_t>((pieceEnd_ && pieceEnd_ < end ? pieceEnd_ : end) - summed_);
  }

  /** `crc` is the piece's, with `step` bytes more. */
  void take(uint32_t crc, size_t step) {
    piece_ = crc;
    summed_ += step;
    if (summed_ != pieceEnd_) return;
    pieces_->push_back(piece_);
    whole_ = crc32cJoin(whole_, piece_, kExtentPieceBytes);
    piece_ = 0;
    pieceEnd_ += kExtentPieceBytes;
  }

  const uint8_t* const start_;
  const size_t length_;
  const KnownSums& known_;
  const uint8_t* summed_;
  std::vector<uint32_t>* const pieces_;
  const uint8_t* pieceEnd_ = nullptr;  // null: there is one piece, which is all
  uint32_t piece_ = 0;                 // of what is summed of this piece
  uint32_t whole_ = 0;                 // of the pieces before it
};

/** The fields of a payload reference that do not depend on where the extent is. */
void writeReference(uint8_t* p, const Record& record, uint32_t index, Section& section) {
  std::memset(p, 0, kPayloadReferenceBytes);
  std::memcpy(p, kMagic, sizeof(kMagic));
  p[4] = kVersion;
  storeBe32(p + 36, static_cast<uint32_t>(record.value - section.start()));
  storeBe32(p + 40, static_cast<uint32_t>(record.valueLength));
  storeBe32(p + 44, section.sumValue(record.value, static_cast<size_t>(record.valueLength)));
  storeBe32(p + 52, index);
  storeBe32(p + 56, static_cast<uint32_t>(section.length()));
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

uint32_t buildReferenceTemplate(const uint8_t* header, const uint8_t* section, size_t length, ByteBuffer& out,
                                std::vector<uint32_t>* pieces, const KnownSums& known) {
  size_t start = out.size();
  out.append(header, kBatchHeaderBytes);
  Section summed(section, length, pieces, known);
  RecordCursor cursor(section, length);
  Record record;
  for (uint32_t index = 0; !cursor.atEnd() && cursor.next(record) == RecordFault::none; ++index)
    appendRecord(record, index, summed, out);
  uint32_t crc = summed.finish();
  uint8_t* batch = out.data() + start;
  storeBe32(batch + 8, static_cast<uint32_t>(out.size() - start - kBatchLogOverhead));
  uint16_t attributes = loadBe16(header + kBatchAttributesAt);
  storeBe16(batch + kBatchAttributesAt, (attributes & ~kCompressionMask) | kReferenceBit);
  storeBatchCrc(batch, out.size() - start);
  return crc;
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
