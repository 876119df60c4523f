// Checks the batches of a Produce request where it arrives, before anybody has read it: what was received a moment ago is still in that
// processor's cache, and nobody has to be woken for it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "batch/check.h"

namespace kafabric {

/** Where in a frame a partition's records are; never empty. */
struct RecordsRange {
  size_t offset;
  size_t length;
};

/**
 * Finds the records of a Produce request, versions 3 to 13, in `frame` (a request without its length field); the first `maxRanges` of them.
 * Nothing for any other frame, and for one that is malformed before it has found so many.
 */
std::vector<RecordsRange> findProducedRecords(const uint8_t* frame, size_t length, size_t maxRanges);

/** Records of a Produce request, and a hash of the partition that they are for. */
struct PartitionRecords {
  RecordsRange range;
  uint64_t partitionHash;
};

/**
 * Puts the first records of a Produce request of `length` bytes, of which `available` are there, into `found`, `most` of them at most, and
 * returns how many. None of any other frame, and none that begin behind what is there.
 */
size_t locateRecords(const uint8_t* frame, size_t available, size_t length, PartitionRecords* found, size_t most);

/** The batches of one frame that were found good by the rules for clients. For one thread at a time. */
class CheckedFrame {
 public:
  /** `offset` is that of the batch in the frame. */
  void add(size_t offset, BatchCheck check) { batches_.push_back({offset, std::move(check)}); }
  bool empty() const { return batches_.empty(); }

  /**
   * Takes out the check of the batch at exactly this range of `frame`, by these options; it can be taken once, since its owner may change
   * the batch then. False when there is none, or the options want another look; see recheck.
   */
  bool take(const uint8_t* frame, const RecordsRange& range, const CheckOptions& options, BatchCheck& check);

 private:
  struct Entry {
    size_t offset;
    BatchCheck check;  // its size is 0 once taken
  };
  std::vector<Entry> batches_;
};

/**
 * Checks batches of `frame` by the rules for clients; those that are not compressed and are good are in the result, null when there are none.
 * `referenceMinBytes`: see ProduceChecker; `known`: what of the batches was summed before. Never throws.
 */
std::shared_ptr<CheckedFrame> checkRanges(const uint8_t* frame, const std::vector<RecordsRange>& ranges,
                                          size_t referenceMinBytes, const KnownSums& known = {}) noexcept;

/** Thread-safe. */
class ProduceChecker {
 public:
  /** Larger batches are left to the pool: no thread that serves sockets is away for longer than this takes, 2 to 3 ms. */
  static constexpr size_t kMaxFrameBytes = size_t{16} << 20;
  /** Bound the memory that checks hold beside their frame; what they leave out is checked when JavaScript comes to it. */
  static constexpr size_t kMaxBatches = 256;
  static constexpr size_t kMaxReferenceBytes = size_t{256} << 10;

  /** Batches of at least this mean record size get a reference batch; SIZE_MAX: none. */
  void setReferenceMinBytes(size_t bytes) { referenceMinBytes_.store(bytes, std::memory_order_relaxed); }

  /** What is known of a large frame; null when that is nothing. `sums` of its parts are not computed again. Never throws. */
  std::shared_ptr<CheckedFrame> check(const uint8_t* frame, size_t length, const KnownSums& sums = {}) const noexcept;
  /**
   * From where in a frame of `length` bytes, of which the first `available` are there, sums of kExtentPieceBytes each are of use to `check`: where the
   * records begin of its first batch, if that is not compressed. 0: they are of none.
   */
  static size_t sumsFrom(const uint8_t* frame, size_t available, size_t length);

 private:
  std::atomic<size_t> referenceMinBytes_{SIZE_MAX};
};

}  // namespace kafabric
