#include "compaction/batch_filter.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <vector>

#include "batch/bytes.h"
#include "batch/reference.h"

namespace kafabric {

namespace {

constexpr size_t kMaxVarintBytes = 10;
constexpr uint16_t kEmptyAttributes = kLogAppendTimeBit | kTransactionalBit | kControlBit;

/** A record that is kept, as it lies in its section. */
struct KeptRecord {
  const uint8_t* start;
  const uint8_t* end;
  int64_t timestamp;
};

bool isReference(const Record& record) {
  return record.valueLength == static_cast<int32_t>(kPayloadReferenceBytes) && std::memcmp(record.value, "KFPR", 4) == 0;
}

/** A batch of whose records is known what becomes of them. */
struct Sifted {
  std::vector<KeptRecord> kept;
  size_t keptBytes = 0;
  int64_t maxTimestamp = -1;
  bool tombstones = false;   // are among the kept
  bool hadPayload = false;
  bool hasPayload = false;   // among the kept
  PayloadExtent payload{};
};

class Sieve {
 public:
  Sieve(const BatchHeader& header, const BatchFate& fate, const FilterRules& rules) : header_(header), fate_(fate), rules_(rules) {
    horizonIsOver_ = (header.attributes & kDeleteHorizonBit) && header.baseTimestamp <= rules.nowMs;
    isReferenceBatch_ = header.attributes & kReferenceBit;
  }

  Sifted run(const uint8_t* batch, ByteBuffer& scratch) {
    Sifted sifted;
    if (header_.recordCount > 0) sifted.kept.reserve(std::min<size_t>(static_cast<size_t>(header_.recordCount), 65536));
    RecordsSection section = openRecords(batch, header_, scratch);
    const uint8_t* start = section.bytes;
    eachRecord(section, header_, [&](const Record& record) {
      int64_t timestamp = timestampOf(record, header_);
      const uint8_t* end = record.headers + record.headersLength;
      bool payload = isReferenceBatch_ && isReference(record);
      if (payload && !sifted.hadPayload) {
        sifted.hadPayload = true;
        sifted.payload = {header_.baseOffset, loadBe64(record.value + 16), loadBe64(record.value + 24), loadBe32(record.value + 32)};
      }
      if (keeps(record, timestamp)) {
        sifted.kept.push_back({start, end, timestamp});
        sifted.keptBytes += static_cast<size_t>(end - start);
        sifted.maxTimestamp = std::max(sifted.maxTimestamp, timestamp);
        if (!record.value) sifted.tombstones = true;
        if (payload) sifted.hasPayload = true;
      }
      start = end;
      return true;
    });
    return sifted;
  }

 private:
  bool keeps(const Record& record, int64_t timestamp) const {
    if (fate_.dropRecords) return false;
    if (header_.attributes & kControlBit) return true;
    int64_t offset = header_.baseOffset + record.offsetDelta;
    if (offset > rules_.latestOffset) return true;
    if (!record.key) return false;
    if (!record.value && horizonIsOver_ && rules_.windowMs == 0) return false;
    if (rules_.live.covers(offset, offset)) return rules_.live.has(offset);
    return offset >= rules_.map.get(rules_.hasher(record.key, static_cast<size_t>(record.keyLength), windowOf(timestamp, rules_.windowMs)));
  }

  const BatchHeader& header_;
  const BatchFate& fate_;
  const FilterRules& rules_;
  bool horizonIsOver_;
  bool isReferenceBatch_;
};

/** What the header of a batch that is written anew says other than the original's. */
struct NewHeader {
  uint16_t attributes;
  int64_t baseTimestamp;
  int64_t maxTimestamp;
  int32_t recordCount;
  bool anonymous = false;
};

/** Completes the batch that begins at `start` of `out`: its header and its CRC. */
size_t finishBatch(const uint8_t* original, const NewHeader& header, size_t start, ByteBuffer& out) {
  uint8_t* batch = out.data() + start;
  size_t length = out.size() - start;
  if (length - kBatchLogOverhead > INT32_MAX) throw DamagedBatch("a batch would become too large");
  std::memcpy(batch, original, kBatchHeaderBytes);
  storeBe32(batch + 8, static_cast<uint32_t>(length - kBatchLogOverhead));
  storeBe16(batch + kBatchAttributesAt, header.attributes);
  storeBe64(batch + kBatchBaseTimestampAt, static_cast<uint64_t>(header.baseTimestamp));
  storeBe64(batch + kBatchMaxTimestampAt, static_cast<uint64_t>(header.maxTimestamp));
  if (header.anonymous) std::memset(batch + kBatchProducerAt, 0xff, kBatchProducerBytes);
  storeBe32(batch + 57, static_cast<uint32_t>(header.recordCount));
  storeBatchCrc(batch, length);
  return length;
}

/** Appends a record with the timestamp delta that it has from another base; everything else stays. */
void appendMoved(const KeptRecord& record, int64_t baseTimestamp, ByteBuffer& out) {
  const uint8_t* p = record.start;
  int32_t size = 0;
  readVarint(p, record.end, size);
  uint8_t attributes = *p++;
  int64_t delta = 0;
  readVarlong(p, record.end, delta);
  delta = static_cast<int64_t>(static_cast<uint64_t>(record.timestamp) - static_cast<uint64_t>(baseTimestamp));
  size_t rest = static_cast<size_t>(record.end - p);
  size_t body = 1 + static_cast<size_t>(varintSize(delta)) + rest;
  uint8_t* start = out.reserve(2 * kMaxVarintBytes + 1 + rest);
  uint8_t* to = writeVarint(start, static_cast<int64_t>(body));
  *to++ = attributes;
  to = writeVarint(to, delta);
  std::memcpy(to, p, rest);
  out.commit(static_cast<size_t>(to + rest - start));
}

/** Appends records whose timestamp deltas stay. */
void appendAsTheyAre(const std::vector<KeptRecord>& kept, ByteBuffer& out) {
  for (size_t i = 0; i < kept.size();) {
    const uint8_t* start = kept[i].start;
    const uint8_t* end = kept[i++].end;
    for (; i < kept.size() && kept[i].start == end; ++i) end = kept[i].end;
    out.append(start, static_cast<size_t>(end - start));
  }
}

/** What the header says of a batch that is written anew, of whose records some are kept. */
NewHeader changedHeader(const BatchHeader& header, const Sifted& sifted, bool isPlain, bool setHorizon, const FilterRules& rules) {
  NewHeader changed{header.attributes, header.baseTimestamp, header.maxTimestamp, static_cast<int32_t>(sifted.kept.size())};
  if (!isPlain) return changed;
  changed.attributes = static_cast<uint16_t>(changed.attributes & ~kReferenceBit);
  if (!(header.attributes & kLogAppendTimeBit)) changed.maxTimestamp = sifted.maxTimestamp;
  if (setHorizon) {
    changed.attributes |= kDeleteHorizonBit;
    changed.baseTimestamp = rules.nowMs + std::min(rules.deleteRetentionMs, INT64_MAX - rules.nowMs);
  } else if (!(header.attributes & kDeleteHorizonBit)) {
    changed.baseTimestamp = sifted.kept.front().timestamp;
  }
  return changed;
}

void appendEmpty(const uint8_t* batch, const BatchHeader& header, bool anonymous, FilteredBatch& result, ByteBuffer& out) {
  size_t start = out.size();
  out.reserve(kBatchHeaderBytes);
  out.commit(kBatchHeaderBytes);
  uint16_t attributes = header.attributes & (anonymous ? kLogAppendTimeBit : kEmptyAttributes);
  result.bytes = finishBatch(batch, {attributes, -1, header.maxTimestamp, 0, anonymous}, start, out);
  result.maxTimestamp = header.maxTimestamp;
}

}  // namespace

int64_t windowOf(int64_t timestamp, int64_t windowMs) {
  if (windowMs <= 0) return 0;
  int64_t window = timestamp / windowMs;
  return timestamp % windowMs < 0 ? window - 1 : window;
}

RecordsSection openRecords(const uint8_t* batch, const BatchHeader& header, ByteBuffer& scratch) {
  RecordsSection section{batch + kBatchHeaderBytes, header.sizeBytes() - kBatchHeaderBytes};
  int codec = header.compression();
  if (codec == 0 || header.recordCount == 0) return section;
  if (codec >= kCodecs) throw DamagedBatch("a batch has an unknown compression");
  scratch.clear();
  decompress(static_cast<Codec>(codec), section.bytes, section.length, kMaxRecordsBytes, scratch);
  return {scratch.data(), scratch.size()};
}

FilteredBatch dropBatch(const uint8_t* headerBytes, const BatchHeader& header, const BatchFate& fate, ByteBuffer& out) {
  FilteredBatch result;
  result.recordsRead = static_cast<uint32_t>(header.recordCount);
  if (fate.keepEmpty) appendEmpty(headerBytes, header, fate.anonymous, result, out);
  return result;
}

FilteredBatch filterBatch(const uint8_t* batch, const BatchHeader& header, const BatchFate& fate, const FilterRules& rules,
                          ByteBuffer& scratch, ByteBuffer& out) {
  bool isReferenceBatch = header.attributes & kReferenceBit;
  Sifted sifted = Sieve(header, fate, rules).run(batch, scratch);
  FilteredBatch result;
  if (sifted.kept.empty()) result = dropBatch(batch, header, fate, out);
  result.recordsRead = static_cast<uint32_t>(header.recordCount);
  result.recordsKept = static_cast<uint32_t>(sifted.kept.size());
  result.lostPayload = sifted.hadPayload && !sifted.hasPayload;
  result.payload = sifted.payload;
  if (sifted.kept.empty()) return result;
  // The header of a reference batch is that of its payload, and of its CRC: tombstones among references have their time when those are gone.
  bool isPlain = !isReferenceBatch || !sifted.hasPayload;
  bool hasHorizon = header.attributes & kDeleteHorizonBit;
  bool expires = (sifted.tombstones && rules.windowMs == 0 && !(header.attributes & kControlBit)) || fate.idleMarker;
  bool setHorizon = isPlain && expires && !hasHorizon;
  bool losesReferences = isReferenceBatch && isPlain;
  if (sifted.kept.size() == static_cast<size_t>(header.recordCount) && !setHorizon && !losesReferences) {
    out.append(batch, header.sizeBytes());
    result.bytes = header.sizeBytes();
    result.maxTimestamp = header.maxTimestamp;
    return result;
  }
  NewHeader changed = changedHeader(header, sifted, isPlain, setHorizon, rules);
  bool deltasStay = !isPlain || (changed.baseTimestamp == header.baseTimestamp && !(header.attributes & kLogAppendTimeBit));
  auto appendRecords = [&](ByteBuffer& to) {
    if (deltasStay) return appendAsTheyAre(sifted.kept, to);
    for (const KeptRecord& record : sifted.kept) appendMoved(record, changed.baseTimestamp, to);
  };
  size_t start = out.size();
  out.reserve(kBatchHeaderBytes + sifted.keptBytes);
  out.commit(kBatchHeaderBytes);
  if (header.compression() == 0) {
    appendRecords(out);
  } else {
    ByteBuffer section;
    section.reserve(sifted.keptBytes);
    appendRecords(section);
    compress(static_cast<Codec>(header.compression()), section.data(), section.size(), out);
  }
  result.bytes = finishBatch(batch, changed, start, out);
  result.maxTimestamp = changed.maxTimestamp;
  return result;
}

}  // namespace kafabric
