// Which offsets of the part of a log that was mapped hold the latest record of their key: one bit for each, so that its records, and batches
// of which nothing is left, are told without their keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "compaction/offset_map.h"

namespace kafabric {

/** Covers nothing until it is filled. */
class LiveOffsets {
 public:
  /** Covers the offsets from `first` to `last`, unless they need more than `maxBytes`. Throws std::bad_alloc. */
  void fill(const OffsetMap& map, int64_t first, int64_t last, size_t maxBytes);
  bool covers(int64_t first, int64_t last) const { return first >= first_ && last <= last_; }
  /** Of an offset that is covered. */
  bool has(int64_t offset) const {
    auto bit = static_cast<uint64_t>(offset - first_);
    return words_[bit / 64] >> (bit % 64) & 1;
  }
  /** Whether there is one among offsets that are covered. */
  bool any(int64_t first, int64_t last) const;

 private:
  int64_t first_ = 0;
  int64_t last_ = -1;
  std::vector<uint64_t> words_;
};

}  // namespace kafabric
