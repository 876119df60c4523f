// The records of a batch as compaction reads them, also those of a compressed one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "batch/header.h"
#include "batch/record.h"
#include "codec/codec.h"

namespace kafabric {

/** A batch that cannot be compacted because it is damaged. */
struct DamagedBatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** The records of one batch do not become larger when decompressed: as large as they may be when they are produced. */
constexpr size_t kMaxRecordsBytes = size_t{1} << 30;

struct RecordsSection {
  const uint8_t* bytes;
  size_t length;
};

/** The records of a whole batch, decompressed into `scratch` if need be. Throws DamagedBatch, CodecError or std::bad_alloc. */
RecordsSection openRecords(const uint8_t* batch, const BatchHeader& header, ByteBuffer& scratch);

/** The time of a record: its own, or that of the batch's append. */
inline int64_t timestampOf(const Record& record, const BatchHeader& header) {
  if (header.attributes & kLogAppendTimeBit) return header.maxTimestamp;
  return static_cast<int64_t>(static_cast<uint64_t>(header.baseTimestamp) + static_cast<uint64_t>(record.timestampDelta));
}

/** Calls `take` with each record of a section until it returns false; false if it did. Throws DamagedBatch. */
template <typename Take>
bool eachRecord(const RecordsSection& section, const BatchHeader& header, Take take) {
  RecordCursor cursor(section.bytes, section.length);
  Record record;
  for (int32_t i = 0; i < header.recordCount; ++i) {
    if (cursor.next(record) != RecordFault::none || record.offsetDelta < 0 || record.offsetDelta > header.lastOffsetDelta)
      throw DamagedBatch("the records of a batch cannot be read");
    if (!take(record)) return false;
  }
  if (!cursor.atEnd()) throw DamagedBatch("there are bytes behind the last record of a batch");
  return true;
}

}  // namespace kafabric
