#include "batch/produce_check.h"

#include <new>
#include <utility>

#include "batch/bytes.h"
#include "batch/crc32c.h"

namespace kafabric {

namespace {

constexpr int16_t kProduce = 0;
constexpr int16_t kFirstVersion = 3;
constexpr int16_t kFirstFlexibleVersion = 9;
constexpr int16_t kFirstVersionWithTopicIds = 13;
constexpr int16_t kLastVersion = 13;
constexpr size_t kTopicIdBytes = 16;

/** Reads the fields of a request, or of its beginning. After the first that does not fit, `ok` is false and every length is 0. */
class FieldReader {
 public:
  /** `available` bytes of the request's `length` are there to be read; the others can be skipped. */
  FieldReader(const uint8_t* frame, size_t available, size_t length) : frame_(frame), available_(available), length_(length) {}

  bool ok() const { return ok_; }
  void useFlexible() { flexible_ = true; }
  size_t position() const { return at_; }

  int16_t int16() { return there(2) ? static_cast<int16_t>(loadBe16(advance(2))) : int16_t{0}; }
  int32_t int32() { return there(4) ? static_cast<int32_t>(loadBe32(advance(4))) : 0; }
  void skip(size_t bytes) {
    if (need(bytes)) at_ += bytes;
  }
  /** A string with a length of 16 bits; -1: null. */
  void skipPlainString() { skipNullable(int16()); }
  void skipString() {
    if (flexible_) skipNullable(compactLength());
    else skipPlainString();
  }
  /** The length of nullable bytes, which fit; 0 for null. */
  size_t bytesLength() {
    int64_t length = flexible_ ? compactLength() : int32();
    if (length < -1) ok_ = false;
    auto bytes = length > 0 ? static_cast<size_t>(length) : 0;
    return need(bytes) ? bytes : 0;
  }
  /** The number of elements of an array; each takes a byte at least. */
  size_t arrayLength() {
    int64_t length = flexible_ ? compactLength() : int32();
    if (length < 0) ok_ = false;
    auto count = length > 0 ? static_cast<size_t>(length) : 0;
    return need(count) ? count : 0;
  }
  void skipTags() {
    if (!flexible_) return;
    for (uint64_t left = unsignedVarint(); ok_ && left > 0; --left) {
      unsignedVarint();
      skip(unsignedVarint());
    }
  }

 private:
  bool need(size_t bytes) { return ok_ = ok_ && bytes <= length_ - at_; }
  bool there(size_t bytes) { return ok_ = ok_ && at_ <= available_ && bytes <= available_ - at_; }
  const uint8_t* advance(size_t bytes) { return frame_ + std::exchange(at_, at_ + bytes); }
  void skipNullable(int64_t length) {
    if (length < -1) ok_ = false;
    else if (length > 0) skip(static_cast<size_t>(length));
  }
  uint32_t unsignedVarint() {
    uint64_t value = 0;
    if (!there(1)) return 0;
    const uint8_t* at = frame_ + at_;
    ok_ = readUnsignedVarint(at, frame_ + available_, 5, value);
    at_ = static_cast<size_t>(at - frame_);
    return static_cast<uint32_t>(value);
  }
  /** One less than what is written, so that 0 is null. */
  int64_t compactLength() { return int64_t{unsignedVarint()} - 1; }

  const uint8_t* frame_;
  size_t available_;
  size_t length_;
  size_t at_ = 0;
  bool flexible_ = false;
  bool ok_ = true;
};

/** Skips everything before the topics; false when this is no Produce request that is answered. Sets the version. */
bool openRequest(FieldReader& reader, int16_t& version) {
  int16_t apiKey = reader.int16();
  version = reader.int16();
  if (!reader.ok() || apiKey != kProduce || version < kFirstVersion || version > kLastVersion) return false;
  reader.int32();            // correlation id
  reader.skipPlainString();  // client id, in every header
  if (version >= kFirstFlexibleVersion) reader.useFlexible();
  reader.skipTags();
  reader.skipString();  // transactional id
  reader.int16();       // acks
  reader.int32();       // timeout
  return reader.ok();
}

void skipTopic(FieldReader& reader, int16_t version) {
  if (version >= kFirstVersionWithTopicIds) reader.skip(kTopicIdBytes);
  else reader.skipString();
}

/**
 * Calls `visit` with the partition, with where its topic's name or id begins and ends, and with each range of records that is not empty, until it returns
 * false. Whether all that was visited is well-formed; what is malformed ends it.
 */
template <class Visit>
bool visitRecords(FieldReader& reader, Visit visit) {
  int16_t version = 0;
  if (!openRequest(reader, version)) return false;
  for (size_t topics = reader.arrayLength(); topics > 0; --topics) {
    size_t start = reader.position();
    skipTopic(reader, version);
    RecordsRange topic{start, reader.position() - start};
    for (size_t partitions = reader.arrayLength(); partitions > 0; --partitions) {
      auto partition = static_cast<uint32_t>(reader.int32());
      size_t bytes = reader.bytesLength();
      if (!reader.ok()) return false;
      if (bytes > 0 && !visit(topic, partition, RecordsRange{reader.position(), bytes})) return true;
      reader.skip(bytes);
      reader.skipTags();
    }
    reader.skipTags();
    if (!reader.ok()) return false;
  }
  return reader.ok();
}

}  // namespace

size_t locateRecords(const uint8_t* frame, size_t available, size_t length, PartitionRecords* found, size_t most) {
  FieldReader reader(frame, available, length);
  size_t count = 0;
  visitRecords(reader, [&](const RecordsRange& topic, uint32_t partition, const RecordsRange& records) {
    found[count++] = {records, uint64_t{crc32c(0, frame + topic.offset, topic.length)} + partition};
    return count < most;
  });
  return count;
}

std::vector<RecordsRange> findProducedRecords(const uint8_t* frame, size_t length, size_t maxRanges) {
  FieldReader reader(frame, length, length);
  std::vector<RecordsRange> ranges;
  bool good = visitRecords(reader, [&](const RecordsRange&, uint32_t, const RecordsRange& records) {
    ranges.push_back(records);
    return ranges.size() < maxRanges;
  });
  return good ? ranges : std::vector<RecordsRange>{};
}

bool CheckedFrame::take(const uint8_t* frame, const RecordsRange& range, const CheckOptions& options, BatchCheck& check) {
  for (Entry& entry : batches_) {
    if (entry.offset != range.offset || entry.check.sizeBytes != range.length) continue;
    check = std::move(entry.check);
    entry.check = {};
    return recheck(check, frame + range.offset, options);
  }
  return false;
}

std::shared_ptr<CheckedFrame> checkRanges(const uint8_t* frame, const std::vector<RecordsRange>& ranges,
                                          size_t referenceMinBytes, const KnownSums& known) noexcept {
  CheckOptions options{0, SIZE_MAX};  // nothing is decompressed
  options.referenceMinBytes = referenceMinBytes;
  try {
    auto checked = std::make_shared<CheckedFrame>();
    ByteBuffer scratch;
    for (const RecordsRange& range : ranges) {
      const uint8_t* batch = frame + range.offset;
      if (range.length < kBatchHeaderBytes || BatchHeader::read(batch).compression() != 0) continue;
      BatchCheck check = checkBatch(batch, range.length, options, scratch, known);
      // One batch and nothing behind it. Refusals are for those who know the topic.
      bool good = check.error == BatchError::none && check.sizeBytes == range.length;
      if (good && check.reference.size() <= ProduceChecker::kMaxReferenceBytes) checked->add(range.offset, std::move(check));
    }
    return checked->empty() ? nullptr : checked;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

size_t ProduceChecker::sumsFrom(const uint8_t* frame, size_t available, size_t length) {
  PartitionRecords first{};
  if (length > kMaxFrameBytes || locateRecords(frame, available, length, &first, 1) == 0) return 0;
  size_t section = first.range.offset + kBatchHeaderBytes;
  bool hasHeader = first.range.length >= kBatchHeaderBytes && available >= section;
  return hasHeader && BatchHeader::read(frame + first.range.offset).compression() == 0 ? section : 0;
}

std::shared_ptr<CheckedFrame> ProduceChecker::check(const uint8_t* frame, size_t length, const KnownSums& sums) const noexcept {
  if (length > kMaxFrameBytes) return nullptr;
  try {
    auto ranges = findProducedRecords(frame, length, kMaxBatches);
    return checkRanges(frame, ranges, referenceMinBytes_.load(std::memory_order_relaxed), sums);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace kafabric
