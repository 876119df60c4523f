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
    : options_(std::move(options)), throttle_(throttle), map_(options_.mapSlots, options_.maxKeys) {}

MapResult Compaction::map(const std::vector<SourceSegment>& segments, int64_t startOffset, std::vector<AbortedTransaction> aborted) {
  MapResult result;
  CleanedTransactions transactions(std::move(aborted));
  latestOffset_ = startOffset - 1;
  bool full = false;
  for (const SourceSegment& segment : segments) {
    result.status = guarded(segment.path, [&]() -> IoStatus {
      SegmentReader reader(segment.path, segment.size, options_.bufferBytes, options_.direct, [&](size_t bytes) {
        result.bytesRead += bytes;
        throttle_.spend(bytes, stopped_);
      });
      reader.seek(segment.position);
      const uint8_t* batch = nullptr;
      BatchHeader header;
      while (!full && reader.next(batch, header)) {
        if (stopped()) return kStopped;
        full = !mapBatch(batch, header, startOffset, transactions, result);
        if (!full) latestOffset_ = std::max(latestOffset_, header.baseOffset + header.lastOffsetDelta);
        scratch_.recycle(kKeepBytes);
      }
      return reader.status();
    });
    if (!result.status.ok() || full) break;
    latestOffset_ = std::max(latestOffset_, segment.endOffset - 1);
  }
  result.endOffset = latestOffset_ + 1;
  return result;
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
  return eachRecord(openRecords(batch, header, scratch_), header, [&](const Record& record) {
    int64_t offset = header.baseOffset + record.offsetDelta;
    if (!record.key || offset < startOffset) return true;
    int64_t window = windowOf(timestampOf(record, header), options_.windowMs);
    return map_.put(hasher_(record.key, static_cast<size_t>(record.keyLength), window), offset);
  });
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
  FilterRules rules{map_, hasher_, latestOffset_, options_.nowMs, options_.deleteRetentionMs, options_.windowMs};
  for (const SourceSegment& segment : segments) {
    SegmentReader reader(segment.path, segment.size, options_.bufferBytes, options_.direct, [&](size_t bytes) {
      result.bytesRead += bytes;
      throttle_.spend(bytes, stopped_);
    });
    const uint8_t* batch = nullptr;
    BatchHeader header;
    while (reader.next(batch, header)) {
      if (stopped()) return kStopped;
      // So that the new segment ends where the old ones did, whatever becomes of their records.
      bool isLast = reader.atEnd() && &segment == &segments.back();
      out_.clear();
      FilteredBatch filtered = filterBatch(batch, header, fateOf(batch, header, isLast), rules, scratch_, out_);
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
