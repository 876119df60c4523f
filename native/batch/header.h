// The 61-byte header of a Kafka record batch, format version 2.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

constexpr size_t kBatchHeaderBytes = 61;
/** Base offset and length: the part of the header that the length field does not count. */
constexpr size_t kBatchLogOverhead = 12;
constexpr size_t kBatchCrcAt = 17;
constexpr size_t kBatchCrcStart = 21;
constexpr size_t kBatchAttributesAt = 21;
constexpr size_t kBatchBaseTimestampAt = 27;
constexpr size_t kBatchMaxTimestampAt = 35;
/** Producer id, epoch and base sequence: all ones in a batch of nobody. */
constexpr size_t kBatchProducerAt = 43;
constexpr size_t kBatchProducerBytes = 14;

constexpr uint16_t kCompressionMask = 0x07;
constexpr uint16_t kLogAppendTimeBit = 0x08;
constexpr uint16_t kTransactionalBit = 0x10;
constexpr uint16_t kControlBit = 0x20;
/** Ours: the values of the batch's records are payload references. Kafka leaves this bit unused. */
constexpr uint16_t kReferenceBit = 0x4000;

struct BatchHeader {
  int64_t baseOffset;
  int32_t batchLength;
  int32_t partitionLeaderEpoch;
  int8_t magic;
  uint32_t crc;
  uint16_t attributes;
  int32_t lastOffsetDelta;
  int64_t baseTimestamp;
  int64_t maxTimestamp;
  int64_t producerId;
  int16_t producerEpoch;
  int32_t baseSequence;
  int32_t recordCount;

  /** Bytes of the whole batch; only meaningful when batchLength is not negative. */
  size_t sizeBytes() const { return kBatchLogOverhead + static_cast<size_t>(batchLength); }
  int compression() const { return attributes & kCompressionMask; }

  /** Reads kBatchHeaderBytes; checks nothing. */
  static BatchHeader read(const uint8_t* bytes);
};

/**
 * The CRC that a whole batch of `length` bytes has with other attributes and another maximum timestamp. Reads its header only, whose CRC
 * must be right.
 */
uint32_t crcWithTimestamps(const uint8_t* batch, size_t length, uint16_t attributes, int64_t maxTimestamp);

/** Computes and stores the CRC of a whole batch of `length` bytes. */
void storeBatchCrc(uint8_t* batch, size_t length);

}  // namespace kafabric
