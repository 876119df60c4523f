// Decides what compaction keeps of a batch, and writes the batch anew when that is not all of it. The rules are those of Kafka's Cleaner and
// MemoryRecords.filterTo: offsets, the batch's last offset and sequence numbers stay; the first time that a batch with tombstones is compacted
// its base timestamp becomes the time from which they may go (KIP-534).
#pragma once

#include <cstddef>
#include <cstdint>

#include "batch/header.h"
#include "codec/buffer.h"
#include "compaction/each_record.h"
#include "compaction/live_offsets.h"
#include "compaction/offset_map.h"

namespace kafabric {

/** The base timestamp of such a batch is the time from which its tombstones, or its marker, may go. */
constexpr uint16_t kDeleteHorizonBit = 0x40;

/** What is the same for all records of one round of compaction. */
struct FilterRules {
  const OffsetMap& map;
  const KeyHasher& hasher;
  /** Says the same as the map of the offsets that it covers. */
  const LiveOffsets& live;
  /** The map knows the keys up to here; what lies behind is kept. */
  int64_t latestOffset;
  int64_t nowMs;
  int64_t deleteRetentionMs;
  /** Only records of the same window of so many milliseconds replace each other, and tombstones stay; 0: all do. */
  int64_t windowMs;
};

/** The window that a record belongs to; 0 without windows. */
int64_t windowOf(int64_t timestamp, int64_t windowMs);

/** What is known of a batch before its records are looked at. */
struct BatchFate {
  bool dropRecords = false;  // of an aborted transaction, or a marker whose time has come
  bool keepEmpty = false;    // the header stays even if no record does
  bool idleMarker = false;   // a marker of whose transaction nothing is left: its time begins to run
  bool anonymous = false;    // an empty header says nothing of a producer: nothing of a transaction is left there
};

/** Where the payload of a reference batch lies. */
struct PayloadExtent {
  int64_t baseOffset;
  uint64_t segmentId;
  uint64_t position;
  uint32_t length;
};

struct FilteredBatch {
  uint32_t recordsRead = 0;
  uint32_t recordsKept = 0;
  size_t bytes = 0;           // appended
  int64_t maxTimestamp = -1;  // of what was appended
  bool lostPayload = false;   // a reference batch of which no reference is left
  PayloadExtent payload{};    // if so, its
};

/** As filterBatch where nothing is kept, of which the header is enough. */
FilteredBatch dropBatch(const uint8_t* headerBytes, const BatchHeader& header, const BatchFate& fate, ByteBuffer& out);

/** Appends what is kept of a whole batch, whose CRC was checked, to `out`. Throws DamagedBatch, CodecError or std::bad_alloc. */
FilteredBatch filterBatch(const uint8_t* batch, const BatchHeader& header, const BatchFate& fate, const FilterRules& rules,
                          ByteBuffer& scratch, ByteBuffer& out);

}  // namespace kafabric
