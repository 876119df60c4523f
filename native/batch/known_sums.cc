#include "batch/known_sums.h"

#include <algorithm>

#include "batch/crc32c.h"

namespace kafabric {

uint32_t KnownSums::sum(uint32_t seed, const uint8_t* start, size_t length) const {
  const uint8_t* end = start + length;
  auto isBefore = [](const Stretch& stretch, const uint8_t* at) { return stretch.start < at; };
  auto next = std::lower_bound(stretches_.begin(), stretches_.end(), start, isBefore);
  uint32_t crc = seed;
  for (; next != stretches_.end() && next->start < end && next->length <= static_cast<size_t>(end - next->start); ++next) {
    crc = crc32c(crc, start, static_cast<size_t>(next->start - start));
    crc = crc == 0 ? next->crc : crc32cJoin(crc, next->crc, next->length);
    start = next->start + next->length;
  }
  return crc32c(crc, start, static_cast<size_t>(end - start));
}

}  // namespace kafabric
