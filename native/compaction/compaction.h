// One round of compaction of one log: first the map of its keys is made from what was not yet compacted, then groups of segments are written
// anew. Every call blocks, and works on complete segment files that nobody changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "compaction/batch_filter.h"
#include "compaction/checked_batches.h"
#include "compaction/io_throttle.h"
#include "compaction/segment_reader.h"
#include "compaction/segment_writer.h"
#include "compaction/transactions.h"

namespace kafabric {

/** What is known of a producer that may go on writing: its last batch, or else its last marker, stays for its sequence and epoch. */
struct ActiveProducer {
  int64_t lastDataOffset;  // -1: none
  int16_t epoch;
};

struct CompactionOptions {
  int64_t nowMs = 0;
  int64_t deleteRetentionMs = 0;
  int64_t windowMs = 0;  // see FilterRules
  /** The round ends here; the batch that ends right before stays, be it empty. */
  int64_t upperBoundOffset = 0;
  size_t mapSlots = 0;
  size_t maxKeys = 0;
  size_t bufferBytes = 0;
  bool direct = true;
  /** Where segments that are open may be in part; null: nowhere. */
  RangeCache* cache = nullptr;
  /** By producer id. */
  std::unordered_map<int64_t, ActiveProducer> producers;
  SegmentWriter::WithSpace withSpace;
};

struct MapResult {
  IoStatus status;  // ECANCELED when it was stopped
  /** The map knows what lies below; the same as the start when not even the first batch has room in it. */
  int64_t endOffset = 0;
  uint64_t bytesRead = 0;
  uint64_t recordsRead = 0;
};

struct CleanResult {
  IoStatus status;
  uint64_t size = 0;
  uint64_t bytesRead = 0;
  uint64_t recordsRead = 0;
  uint64_t recordsKept = 0;
  /** For the transaction index of the new segment. */
  std::vector<AbortedTransaction> aborted;
  /** Payload to which nothing refers any more. */
  std::vector<PayloadExtent> released;
};

class Compaction {
 public:
  /** Throws std::bad_alloc. */
  Compaction(CompactionOptions options, IoThrottle& throttle);

  /** Takes in the records from `startOffset` on, until the map is full. Once, before any `clean`. */
  MapResult map(const std::vector<SourceSegment>& segments, int64_t startOffset, std::vector<AbortedTransaction> aborted);
  /** The aborted transactions that have records in what is going to be cleaned. Once, after `map`. */
  void setAborted(std::vector<AbortedTransaction> aborted) { transactions_.emplace(std::move(aborted)); }
  /** Writes what is kept of the segments, which follow those of the call before. Its files are there, and durable, if the status is good. */
  CleanResult clean(const std::vector<SourceSegment>& segments, const SegmentTarget& target);
  /** Any thread: what runs ends soon, with ECANCELED. */
  void stop() { stopped_.store(true, std::memory_order_relaxed); }

 private:
  bool isDead(const BatchHeader& header) const;
  /** Of all that is read from here on. */
  void countReadIn(uint64_t& bytesRead);
  bool mapBatch(const uint8_t* batch, const BatchHeader& header, int64_t startOffset, CleanedTransactions& transactions, MapResult& result);
  BatchFate fateOf(const uint8_t* batch, const BatchHeader& header, bool isLast);
  bool isLastOfProducer(const BatchHeader& header) const;
  IoStatus cleanInto(SegmentWriter& writer, const std::vector<SourceSegment>& segments, CleanResult& result);
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  CompactionOptions options_;
  IoThrottle& throttle_;
  KeyHasher hasher_;
  OffsetMap map_;
  LiveOffsets live_;
  CheckedBatches checked_;
  int64_t latestOffset_ = -1;
  std::optional<CleanedTransactions> transactions_;
  SegmentReading reading_;
  ByteBuffer scratch_;
  ByteBuffer out_;
  std::atomic<bool> stopped_{false};
};

}  // namespace kafabric
