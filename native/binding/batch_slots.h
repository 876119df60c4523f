// How batches are handed to JavaScript: a fixed number of 8-byte slots each, doubles and int64; the numbers are those of
// src/native/batch-layout.ts.
#pragma once

#include <cstddef>
#include <cstring>

#include "batch/header.h"

namespace kafabric::binding {

constexpr size_t kOptionSlots = 7;
constexpr size_t kBatchSlots = 24;

constexpr size_t kSlotPosition = 0;
constexpr size_t kSlotSizeBytes = 1;
constexpr size_t kSlotError = 2;
constexpr size_t kSlotProblem = 3;
constexpr size_t kSlotErrorRecord = 4;
constexpr size_t kSlotRecordCount = 5;
constexpr size_t kSlotLastOffsetDelta = 6;
constexpr size_t kSlotAttributes = 7;
constexpr size_t kSlotUncompressedBytes = 8;
constexpr size_t kSlotKeyless = 9;
constexpr size_t kSlotOffsetDeltaOfMaxTimestamp = 10;
constexpr size_t kSlotProducerEpoch = 11;
constexpr size_t kSlotBaseSequence = 12;
constexpr size_t kSlotLeaderEpoch = 13;
constexpr size_t kSlotCrc = 14;
constexpr size_t kSlotMagic = 15;
constexpr size_t kSlotBaseOffset = 16;          // int64 from here
constexpr size_t kSlotBaseTimestamp = 17;
constexpr size_t kSlotMaxTimestamp = 18;        // of the records, where they were read
constexpr size_t kSlotProducerId = 19;
constexpr size_t kSlotHeaderMaxTimestamp = 20;
constexpr size_t kSlotStoredMaxTimestamp = 21;
constexpr size_t kSlotStoredAttributes = 22;    // doubles again
constexpr size_t kSlotStoredCrc = 23;

inline void fillHeaderSlots(double* slots, const BatchHeader& header, size_t position, size_t sizeBytes) {
  slots[kSlotPosition] = static_cast<double>(position);
  slots[kSlotSizeBytes] = static_cast<double>(sizeBytes);
  slots[kSlotRecordCount] = header.recordCount;
  slots[kSlotLastOffsetDelta] = header.lastOffsetDelta;
  slots[kSlotAttributes] = header.attributes;
  slots[kSlotProducerEpoch] = header.producerEpoch;
  slots[kSlotBaseSequence] = header.baseSequence;
  slots[kSlotLeaderEpoch] = header.partitionLeaderEpoch;
  slots[kSlotCrc] = header.crc;
  slots[kSlotMagic] = header.magic;
  std::memcpy(slots + kSlotBaseOffset, &header.baseOffset, 8);
  std::memcpy(slots + kSlotBaseTimestamp, &header.baseTimestamp, 8);
  std::memcpy(slots + kSlotProducerId, &header.producerId, 8);
  std::memcpy(slots + kSlotHeaderMaxTimestamp, &header.maxTimestamp, 8);
}

}  // namespace kafabric::binding
