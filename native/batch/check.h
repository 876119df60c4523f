// Validation of produced record batches, as Kafka's UnifiedLog, LogValidator and DefaultRecord do it. Whatever Kafka refuses is
// refused. Stricter than Kafka: offset deltas are always 0, 1, 2, ... (Kafka lets others pass in uncompressed batches, and fails in
// compressed ones); the structure of compressed records is checked as fully as that of others; a timestamp type of LogAppendTime is
// refused on every topic (Kafka overwrites it on some); the attribute bit of reference batches is ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "batch/header.h"
#include "batch/known_sums.h"
#include "codec/buffer.h"

namespace kafabric {

/** Kafka's error codes that validation can yield. */
enum class BatchError : int16_t {
  none = 0,
  corruptMessage = 2,
  messageTooLarge = 10,
  invalidTimestamp = 32,
  unsupportedCompressionType = 76,
  invalidRecord = 87,
};

/** Why, in more detail; numbers are the index of the text in src/native/batch-problems.ts. */
enum class BatchProblem : uint8_t {
  none = 0,
  truncated,           // fewer bytes left than the batch says it has
  lengthTooSmall,      // the length does not even cover a header
  magic,               // not format version 2
  tooLarge,            // above maxBatchBytes
  crc,                 // checksum mismatch
  baseOffset,          // a client's base offset is not 0
  count,               // record count not positive, or not lastOffsetDelta + 1
  control,             // a client's batch is a control batch
  reference,           // a client's batch carries our reference bit
  sequence,            // a producer id without a sequence number
  compression,         // unknown codec
  decompression,       // the compressed records cannot be read
  uncompressedTooLarge,
  recordSize,
  recordVarint,
  recordHeaderCount,
  recordHeaderKey,
  offsetDelta,         // offset deltas are not 0, 1, 2, ...
  missingKey,
  timestampRange,
  timestampType,       // a client's batch says LogAppendTime
  trailingBytes,       // bytes behind the last record
};

/** Bounds the answer to a batch whose every record is refused. */
constexpr size_t kMaxErrorRecords = 4096;

struct CheckOptions {
  size_t maxUncompressedBytes;
  size_t maxBatchBytes;
  bool fromClient = true;   // the rules for producers; false for batches that the broker or another replica wrote
  bool verifyCrc = true;
  bool requireKeys = false;
  bool createTime = true;   // the topic's message.timestamp.type
  int64_t nowMs = 0;        // becomes the timestamp of batches with append time
  int64_t timestampBeforeMaxMs = INT64_MAX;
  int64_t timestampAfterMaxMs = INT64_MAX;
  /** Batches whose mean record size reaches this get a reference batch (see reference.h); SIZE_MAX: none. */
  size_t referenceMinBytes = SIZE_MAX;
};

struct BatchCheck {
  BatchHeader header{};     // zeros when there were too few bytes for one
  size_t position = 0;      // of the batch in the input
  size_t sizeBytes = 0;     // up to the end of the input when the batch is torn
  BatchError error = BatchError::none;
  BatchProblem problem = BatchProblem::none;
  /** Indices of the records at fault, ascending, at most kMaxErrorRecords of them. */
  std::vector<int32_t> errorRecords;
  size_t uncompressedBytes = 0;  // of the records section
  bool keyless = false;          // a record has no key
  int64_t maxTimestamp = -1;     // of the records; -1 when they have none
  int32_t offsetDeltaOfMaxTimestamp = -1;  // of the first record that has it
  int64_t oldestTimestamp = -1;  // of the records that have one, and have it other than -1
  int64_t newestTimestamp = -1;
  ByteBuffer reference;          // the reference batch without its location, or empty
  std::vector<uint32_t> pieces;  // with it: CRCs of the records section's pieces, see reference.h; none where it is small or compressed
  /** What the header of a client's batch has to say once it is stored: its timestamps are the topic's affair. */
  uint16_t storedAttributes = 0;
  int64_t storedMaxTimestamp = -1;
  uint32_t storedCrc = 0;
};

/**
 * Checks the first batch of `bytes` (at least one byte). Reads every record; decompresses at most once, into `scratch`.
 * Never throws but std::bad_alloc. `known`: what of it was summed before.
 */
BatchCheck checkBatch(const uint8_t* bytes, size_t length, const CheckOptions& options, ByteBuffer& scratch,
                      const KnownSums& known = {});

/**
 * The check of a batch by other options than those with which it was found good: `check` becomes what checkBatch would say. `bytes` is the
 * batch, unchanged since; only its header is read. False, and nothing is changed, when the batch would be refused, or would need a
 * reference batch that was not built.
 */
bool recheck(BatchCheck& check, const uint8_t* bytes, const CheckOptions& options);

/** Checks batch after batch, at most `maxBatches`; stops behind the first whose end is not known. */
std::vector<BatchCheck> checkBatches(const uint8_t* bytes, size_t length, const CheckOptions& options,
                                     size_t maxBatches, ByteBuffer& scratch);

/** Scratch memory above this is given back after use. */
constexpr size_t kScratchKeepBytes = size_t{4} << 20;

}  // namespace kafabric
