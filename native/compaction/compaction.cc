#include "compaction/compaction.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "compaction/segment_reader.h"

namespace kafabric {

namespace {

/** Buffers above this are given back between batches. */
constexpr size_t kKeepBytes = size_t{4} << 20;
/** So many keys are looked for in memory at a time, which takes them together hardly longer than one. */
constexpr size_t kKeysAtOnce = 16;
/** What is known beside the map takes no more than such a part of the map. */
constexpr size_t kLiveShare = 8;

const IoStatus kStopped{ECANCELED, "the compaction was stopped"};

/** Runs a task and turns what it throws into a status. */
template <typename Task>
IoStatus guarded(const std::string& path, Task task) {
  try {
    return task();
  } catch (const DamagedBatch& error) {
    return {EBADMSG, path + ": " + error.what()};
  } catch (const CodecError& error) {
    return {EBADMSG, path + ": a batch cannot be decompressed or compressed: " + error.what()};
  } catch (const std::bad_alloc&) {
    return {ENOMEM, "not enough memory to compact " + path};
  }
}

}  // namespace

Compaction::Compaction(CompactionOptions options, IoThrottle& throttle)
    : options_(std::move(options)), throttle_(throttle), map_(options_.mapSlots, options_.maxKeys) {
  reading_.bufferBytes = options_.bufferBytes;
  reading_.direct = options_.direct;
  reading_.cache = options_.cache;
}

void Compaction::countReadIn(uint64_t& bytesRead) {
  reading_.onRead = [this, &bytesRead](size_t bytes) {
    bytesRead += bytes;
    throttle_.spend(bytes, stopped_);
  };
}

MapResult Compaction::map(const std::vector<SourceSegment>& segments, int64_t startOffset, std::vector<AbortedTransaction> aborted) {
  MapResult result;
  countReadIn(result.bytesRead);
  CleanedTransactions transactions(std::move(aborted));
  latestOffset_ = startOffset - 1;
  bool full = false;
  for (const SourceSegment& segment : segments) {
    result.status = guarded(segment.path, [&]() -> IoStatus {
      SegmentReader reader(segment, reading_);
      reader.seek(segment.position);
      const uint8_t* batch = nullptr;
      BatchHeader header;
      while (!full && reader.next(batch, header)) {
        if (stopped()) return kStopped;
        full = !mapBatch(batch, header, startOffset, transactions, result);
        if (full) break;
        latestOffset_ = std::max(latestOffset_, header.baseOffset + header.lastOffsetDelta);
        checked_.note(segment.path, reader.position(), batch, header);
        scratch_.recycle(kKeepBytes);
      }
      if (reading_.buffer.capacity > kKeepBytes) reading_.buffer = {};
      return reader.status();
    });
    if (!result.status.ok() || full) break;
    latestOffset_ = std::max(latestOffset_, segment.endOffset - 1);
  }
  if (result.status.ok() && !segments.empty()) {
    result.status = guarded(segments.front().path, [&]() -> IoStatus {
      live_.fill(map_, startOffset, latestOffset_, map_.maxBytes() / kLiveShare);
      checked_.keepIf([this](const BatchHeader& header) { return isDead(header); });
      return {};
    });
  }
  result.endOffset = latestOffset_ + 1;
  return result;
}

/** Whether nothing is left of a batch that was taken into the map. */
bool Compaction::isDead(const BatchHeader& header) const {
  int64_t lastOffset = header.baseOffset + header.lastOffsetDelta;
  // Which payload a reference batch had is in its records.
  if (header.attributes & (kControlBit | kReferenceBit)) return false;
  return live_.covers(header.baseOffset, lastOffset) && !live_.any(header.baseOffset, lastOffset);
}

/** False when the map is full. */
bool Compaction::mapBatch(const uint8_t* batch, const BatchHeader& header, int64_t startOffset, CleanedTransactions& transactions,
                          MapResult& result) {
  result.recordsRead += static_cast<uint64_t>(header.recordCount);
  if (header.attributes & kControlBit) {
    transactions.onMarker(header, markerOf(batch, header));
    return true;
  }
  if (transactions.onData(header)) return true;
  struct {
    KeyHash key;
    int64_t offset;
  } waiting[kKeysAtOnce];
  size_t count = 0;
  auto putWaiting = [&] {
    bool fits = true;
    for (size_t i = 0; i < count && fits; ++i) fits = map_.put(waiting[i].key, waiting[i].offset);
    count = 0;
    return fits;
  };
  bool fits = eachRecord(openRecords(batch, header, scratch_), header, [&](const Record& record) {
    int64_t offset = header.baseOffset + record.offsetDelta;
    if (!record.key || offset < startOffset) return true;
    int64_t window = windowOf(timestampOf(record, header), options_.windowMs);
    waiting[count] = {hasher_(record.key, static_cast<size_t>(record.keyLength), window), offset};
    map_.prefetch(waiting[count++].key);
    return count < kKeysAtOnce || putWaiting();
  });
  return fits && putWaiting();
}

CleanResult Compaction::clean(const std::vector<SourceSegment>& segments, const SegmentTarget& target) {
  CleanResult result;
  result.status = guarded(target.stem, [&]() -> IoStatus {
    SegmentWriter writer(target, options_.direct, options_.withSpace);
    if (!writer.status().ok()) return writer.status();
    IoStatus status = cleanInto(writer, segments, result);
    if (!status.ok()) return status;
    result.aborted = transactions_->takeKept();
    writer.finish();
    result.size = writer.size();
    return writer.status();
  });
  return result;
}

IoStatus Compaction::cleanInto(SegmentWriter& writer, const std::vector<SourceSegment>& segments, CleanResult& result) {
  FilterRules rules{map_, hasher_, live_, latestOffset_, options_.nowMs, options_.deleteRetentionMs, options_.windowMs};
  countReadIn(result.bytesRead);
  for (const SourceSegment& segment : segments) {
    SegmentReader reader(segment, reading_, checked_.of(segment.path));
    const uint8_t* batch = nullptr;
    BatchHeader header;
    while (reader.nextHeader(batch, header)) {
      if (stopped()) return kStopped;
      bool dead = isDead(header);
      if (!dead && !reader.readBatch(batch)) break;
      // So that the new segment ends where the old ones did, whatever becomes of their records.
      bool isLast = reader.isLast() && &segment == &segments.back();
      BatchFate fate = fateOf(batch, header, isLast);
      out_.clear();
      FilteredBatch filtered = dead ? dropBatch(batch, header, fate, out_) : filterBatch(batch, header, fate, rules, scratch_, out_);
      result.recordsRead += filtered.recordsRead;
      result.recordsKept += filtered.recordsKept;
      if (filtered.lostPayload) result.released.push_back(filtered.payload);
      if (filtered.bytes > 0) {
        int64_t lastOffset = header.baseOffset + header.lastOffsetDelta;
        if (!writer.append(out_.data(), filtered.bytes, lastOffset, filtered.maxTimestamp)) return writer.status();
        throttle_.spend(filtered.bytes, stopped_);
      }
      scratch_.recycle(kKeepBytes);
      out_.recycle(kKeepBytes);
    }
    if (!reader.status().ok()) return reader.status();
    if (reading_.buffer.capacity > kKeepBytes) reading_.buffer = {};
  }
  return {};
}

bool Compaction::isLastOfProducer(const BatchHeader& header) const {
  if (header.producerId < 0) return false;
  auto found = options_.producers.find(header.producerId);
  if (found == options_.producers.end()) return false;
  const ActiveProducer& producer = found->second;
  if (producer.lastDataOffset >= 0) return header.baseOffset + header.lastOffsetDelta == producer.lastDataOffset;
  return (header.attributes & kControlBit) && header.producerEpoch == producer.epoch;
}

BatchFate Compaction::fateOf(const uint8_t* batch, const BatchHeader& header, bool isLast) {
  BatchFate fate;
  if (header.attributes & kControlBit) {
    fate.idleMarker = transactions_->onMarker(header, markerOf(batch, header));
    bool isOver = (header.attributes & kDeleteHorizonBit) && header.baseTimestamp <= options_.nowMs;
    fate.dropRecords = fate.idleMarker && isOver;
  } else {
    fate.dropRecords = transactions_->onData(header);
  }
  int64_t nextOffset = header.baseOffset + header.lastOffsetDelta + 1;
  bool isNeeded = nextOffset == options_.upperBoundOffset || isLastOfProducer(header);
  fate.keepEmpty = isLast || isNeeded;
  // Or the marker of its transaction would stay as long.
  fate.anonymous = !isNeeded;
  return fate;
}

}  // namespace kafabric
