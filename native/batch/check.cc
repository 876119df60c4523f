#include "batch/check.h"

#include "batch/crc32c.h"
#include "batch/record.h"
#include "batch/reference.h"
#include "codec/codec.h"

namespace kafabric {

namespace {

void fail(BatchCheck& check, BatchError error, BatchProblem problem, int32_t record = -1) {
  check.error = error;
  check.problem = problem;
  check.errorRecords.clear();
  if (record >= 0) check.errorRecords.push_back(record);
}

bool tooLarge(const BatchCheck& check, const CheckOptions& options) { return check.sizeBytes > options.maxBatchBytes; }

/** Finds the end of the batch and reads its header; false when there is no whole batch of version 2. */
bool frame(const uint8_t* bytes, size_t length, const CheckOptions& options, BatchCheck& check) {
  check.sizeBytes = length;
  if (length < kBatchHeaderBytes) {
    fail(check, BatchError::corruptMessage, BatchProblem::truncated);
    return false;
  }
  check.header = BatchHeader::read(bytes);
  const BatchHeader& header = check.header;
  if (header.magic != 2) {
    bool older = header.magic == 0 || header.magic == 1;
    fail(check, older ? BatchError::invalidRecord : BatchError::corruptMessage, BatchProblem::magic);
    return false;
  }
  if (header.batchLength < 0 || header.sizeBytes() < kBatchHeaderBytes) {
    fail(check, BatchError::corruptMessage, BatchProblem::lengthTooSmall);
    return false;
  }
  if (header.sizeBytes() > length) {
    fail(check, BatchError::corruptMessage, BatchProblem::truncated);
    return false;
  }
  check.sizeBytes = header.sizeBytes();
  if (tooLarge(check, options)) fail(check, BatchError::messageTooLarge, BatchProblem::tooLarge);
  return check.error == BatchError::none;
}

/** A wrong CRC outweighs whatever else was found. */
void checkCrc(uint32_t actual, BatchCheck& check) {
  if (actual == check.header.crc) return;
  BatchCheck refused;
  refused.header = check.header;
  refused.sizeBytes = check.sizeBytes;
  fail(refused, BatchError::corruptMessage, BatchProblem::crc);
  check = std::move(refused);
}

uint32_t crcOfBatch(const uint8_t* bytes, const BatchCheck& check, const KnownSums& known) {
  return known.sum(0, bytes + kBatchCrcStart, check.sizeBytes - kBatchCrcStart);
}

/** From the CRC of its records section, uncompressed. */
uint32_t crcOfBatch(const uint8_t* bytes, uint32_t crcOfSection, size_t sectionLength) {
  return crc32cJoin(crc32c(0, bytes + kBatchCrcStart, kBatchHeaderBytes - kBatchCrcStart), crcOfSection, sectionLength);
}

/** The rules on the header, in Kafka's order. */
BatchProblem headerProblem(const BatchHeader& header, const CheckOptions& options) {
  if (options.fromClient && header.baseOffset != 0) return BatchProblem::baseOffset;
  // Compacted batches, which no client sends, may have fewer records than offsets, even none.
  if (header.recordCount < 0 || header.lastOffsetDelta < 0) return BatchProblem::count;
  if (options.fromClient) {
    if (int64_t{header.lastOffsetDelta} + 1 != header.recordCount) return BatchProblem::count;
    if (header.attributes & kControlBit) return BatchProblem::control;
    if (header.attributes & kReferenceBit) return BatchProblem::reference;
    if (header.producerId > -1 && header.baseSequence < 0) return BatchProblem::sequence;
  }
  return BatchProblem::none;
}

BatchProblem asProblem(RecordFault fault) {
  switch (fault) {
    case RecordFault::none: return BatchProblem::none;
    case RecordFault::size: return BatchProblem::recordSize;
    case RecordFault::varint: return BatchProblem::recordVarint;
    case RecordFault::headerCount: return BatchProblem::recordHeaderCount;
    case RecordFault::headerKey: return BatchProblem::recordHeaderKey;
  }
  return BatchProblem::recordVarint;
}

bool outOfRange(int64_t timestamp, const CheckOptions& options) {
  if (timestamp == -1) return false;
  // As wide as needed: a client may send any timestamp.
  __int128 age = static_cast<__int128>(options.nowMs) - timestamp;
  return age > options.timestampBeforeMaxMs || -age > options.timestampAfterMaxMs;
}

/** Whether the content of some record breaks a rule. */
bool refusesRecords(const BatchCheck& check, const CheckOptions& options) {
  if (options.requireKeys && check.keyless) return true;
  if (!options.fromClient) return false;
  if (check.header.attributes & kLogAppendTimeBit) return true;
  return options.createTime &&
         (outOfRange(check.oldestTimestamp, options) || outOfRange(check.newestTimestamp, options));
}

/** The rules on one record's content, in Kafka's order; its structure has been checked. */
BatchProblem recordProblem(const Record& record, int64_t timestamp, const BatchHeader& header,
                           const CheckOptions& options) {
  if (options.requireKeys && !record.key) return BatchProblem::missingKey;
  if (!options.fromClient) return BatchProblem::none;
  if (header.attributes & kLogAppendTimeBit) return BatchProblem::timestampType;
  return options.createTime && outOfRange(timestamp, options) ? BatchProblem::timestampRange : BatchProblem::none;
}

bool concernsTimestamp(BatchProblem problem) {
  return problem == BatchProblem::timestampRange || problem == BatchProblem::timestampType;
}

/** Notes a problem of a record. A timestamp outweighs a missing key, whichever comes first; else the first one counts. */
void noteProblem(BatchCheck& check, BatchProblem problem, int32_t record) {
  if (concernsTimestamp(problem)) {
    check.error = BatchError::invalidTimestamp;
    if (!concernsTimestamp(check.problem)) check.problem = problem;
  } else if (check.problem == BatchProblem::none) {
    check.error = BatchError::invalidRecord;
    check.problem = problem;
  }
  if (check.errorRecords.size() < kMaxErrorRecords) check.errorRecords.push_back(record);
}

/** Wraps like Java's addition. */
int64_t timestampOf(const Record& record, const BatchHeader& header) {
  return static_cast<int64_t>(static_cast<uint64_t>(header.baseTimestamp) +
                              static_cast<uint64_t>(record.timestampDelta));
}

void noteTimestamp(int64_t timestamp, int32_t offsetDelta, BatchCheck& check) {
  if (timestamp > check.maxTimestamp) {
    check.maxTimestamp = timestamp;
    check.offsetDeltaOfMaxTimestamp = offsetDelta;
  }
  if (timestamp == -1) return;
  bool first = check.oldestTimestamp == -1;
  if (first || timestamp < check.oldestTimestamp) check.oldestTimestamp = timestamp;
  if (first || timestamp > check.newestTimestamp) check.newestTimestamp = timestamp;
}

/** The records section, uncompressed. */
struct Section {
  const uint8_t* bytes = nullptr;
  size_t length = 0;
};

/** Reads all records: damage anywhere outweighs what their content may be refused for. */
void readRecords(const Section& section, const CheckOptions& options, BatchCheck& check) {
  const BatchHeader& header = check.header;
  RecordCursor cursor(section.bytes, section.length);
  Record record;
  int32_t previousDelta = -1;
  for (int32_t index = 0; index < header.recordCount; ++index) {
    RecordFault fault = cursor.next(record);
    if (fault != RecordFault::none) return fail(check, BatchError::invalidRecord, asProblem(fault), index);
    bool consecutive = record.offsetDelta == index;
    bool ascending = record.offsetDelta > previousDelta && record.offsetDelta <= header.lastOffsetDelta;
    if (!(options.fromClient ? consecutive : ascending))
      return fail(check, BatchError::invalidRecord, BatchProblem::offsetDelta, index);
    previousDelta = record.offsetDelta;
    if (!record.key) check.keyless = true;
    noteTimestamp(timestampOf(record, header), record.offsetDelta, check);
  }
  if (!cursor.atEnd()) fail(check, BatchError::invalidRecord, BatchProblem::trailingBytes);
}

/** Names the records that are refused, which were read without fault. */
void listRefused(const Section& section, const CheckOptions& options, BatchCheck& check) {
  RecordCursor cursor(section.bytes, section.length);
  Record record;
  for (int32_t index = 0; !cursor.atEnd() && cursor.next(record) == RecordFault::none; ++index) {
    BatchProblem problem = recordProblem(record, timestampOf(record, check.header), check.header, options);
    if (problem != BatchProblem::none) noteProblem(check, problem, index);
  }
}

/** The records section uncompressed: in place, or in `scratch`. False when it cannot be read. */
bool openSection(const uint8_t* bytes, const CheckOptions& options, BatchCheck& check, ByteBuffer& scratch,
                 Section& section) {
  section = {bytes + kBatchHeaderBytes, check.sizeBytes - kBatchHeaderBytes};
  int codec = check.header.compression();
  if (codec == 0) return true;
  if (codec >= kCodecs) {
    fail(check, BatchError::unsupportedCompressionType, BatchProblem::compression);
    return false;
  }
  try {
    scratch.clear();
    decompress(static_cast<Codec>(codec), section.bytes, section.length, options.maxUncompressedBytes, scratch);
  } catch (const UncompressedTooLarge&) {
    fail(check, BatchError::messageTooLarge, BatchProblem::uncompressedTooLarge);
    return false;
  } catch (const CodecError&) {
    // The CRC was right, so the client sent it like this: not CORRUPT_MESSAGE, which clients retry.
    fail(check, BatchError::invalidRecord, BatchProblem::decompression);
    return false;
  }
  section = {scratch.data(), scratch.size()};
  return true;
}

/** By the mean record size as it was produced: nothing needs to be read to know it. */
bool wantsReference(const BatchCheck& check, const CheckOptions& options) {
  size_t records = static_cast<size_t>(check.header.recordCount);
  return records > 0 && (check.sizeBytes - kBatchHeaderBytes) / records >= options.referenceMinBytes;
}

/** Append time, or what clients should have written. */
void assignTimestamps(const uint8_t* bytes, const CheckOptions& options, BatchCheck& check) {
  const BatchHeader& header = check.header;
  bool appendTime = options.fromClient && !options.createTime;
  check.storedAttributes = appendTime ? header.attributes | kLogAppendTimeBit : header.attributes;
  check.storedMaxTimestamp = appendTime ? options.nowMs : options.fromClient ? check.maxTimestamp : header.maxTimestamp;
  bool same = check.storedAttributes == header.attributes && check.storedMaxTimestamp == header.maxTimestamp;
  check.storedCrc = same ? header.crc
                         : crcWithTimestamps(bytes, check.sizeBytes, check.storedAttributes, check.storedMaxTimestamp);
}

/** Everything but size and CRC. */
void checkContent(const uint8_t* bytes, const CheckOptions& options, BatchCheck& check, ByteBuffer& scratch,
                  Section& section) {
  BatchProblem problem = headerProblem(check.header, options);
  if (problem != BatchProblem::none) return fail(check, BatchError::invalidRecord, problem);
  if (!openSection(bytes, options, check, scratch, section)) return;
  check.uncompressedBytes = section.length;
  readRecords(section, options, check);
  if (check.error == BatchError::none && refusesRecords(check, options)) listRefused(section, options, check);
}

}  // namespace

BatchCheck checkBatch(const uint8_t* bytes, size_t length, const CheckOptions& options, ByteBuffer& scratch,
                      const KnownSums& known) {
  BatchCheck check;
  if (!frame(bytes, length, options, check)) return check;
  bool reference = wantsReference(check, options);
  // The references need the CRC of each value, and the batch's follows from them: large batches are read once. Until then nothing that
  // was read may be trusted more than its bounds.
  bool crcFollows = options.verifyCrc && reference && check.header.compression() == 0;
  if (options.verifyCrc && !crcFollows) checkCrc(crcOfBatch(bytes, check, known), check);
  if (check.error != BatchError::none) return check;
  Section section;
  checkContent(bytes, options, check, scratch, section);
  if (check.error != BatchError::none) {
    if (crcFollows) checkCrc(crcOfBatch(bytes, check, known), check);
    return check;
  }
  if (reference) {
    bool asItIs = check.header.compression() == 0;
    uint32_t crcOfSection =
        buildReferenceTemplate(bytes, section.bytes, section.length, check.reference, asItIs ? &check.pieces : nullptr, known);
    if (crcFollows) checkCrc(crcOfBatch(bytes, crcOfSection, section.length), check);
  }
  if (check.error == BatchError::none) assignTimestamps(bytes, options, check);
  return check;
}

bool recheck(BatchCheck& check, const uint8_t* bytes, const CheckOptions& options) {
  bool reference = wantsReference(check, options);
  if (check.error != BatchError::none || tooLarge(check, options) || refusesRecords(check, options) ||
      (reference && check.reference.size() == 0))
    return false;
  if (!reference) {
    check.reference = {};
    check.pieces.clear();
  }
  assignTimestamps(bytes, options, check);
  return true;
}

std::vector<BatchCheck> checkBatches(const uint8_t* bytes, size_t length, const CheckOptions& options,
                                     size_t maxBatches, ByteBuffer& scratch) {
  std::vector<BatchCheck> checks;
  for (size_t position = 0; position < length && checks.size() < maxBatches;) {
    BatchCheck check = checkBatch(bytes + position, length - position, options, scratch);
    check.position = position;
    position += check.sizeBytes;
    checks.push_back(std::move(check));
  }
  scratch.recycle(kScratchKeepBytes);
  return checks;
}

}  // namespace kafabric
