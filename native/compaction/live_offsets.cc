#include "compaction/live_offsets.h"

namespace kafabric {

void LiveOffsets::fill(const OffsetMap& map, int64_t first, int64_t last, size_t maxBytes) {
  if (last < first || static_cast<uint64_t>(last - first) / 8 >= maxBytes) return;
  words_.assign(static_cast<size_t>(last - first) / 64 + 1, 0);
  map.eachOffset([&](int64_t offset) {
    // Of a batch that was taken in only in part.
    if (offset > last) return;
    auto bit = static_cast<uint64_t>(offset - first);
    words_[bit / 64] |= uint64_t{1} << (bit % 64);
  });
  first_ = first;
  last_ = last;
}

bool LiveOffsets::any(int64_t first, int64_t last) const {
  if (last < first) return false;
  auto from = static_cast<uint64_t>(first - first_);
  auto to = static_cast<uint64_t>(last - first_);
  uint64_t head = ~uint64_t{0} << (from % 64);
  uint64_t tail = ~uint64_t{0} >> (63 - to % 64);
  if (from / 64 == to / 64) return words_[from / 64] & head & tail;
  if (words_[from / 64] & head) return true;
  for (uint64_t word = from / 64 + 1; word < to / 64; ++word)
    if (words_[word]) return true;
  return words_[to / 64] & tail;
}

}  // namespace kafabric
