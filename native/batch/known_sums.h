// CRCs of stretches that were summed as they were copied to where they are: whoever checks what they are part of need not read them again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kafabric {

/** For one thread at a time. The memory must not change meanwhile. */
class KnownSums {
 public:
  /** Stretches are added in the order in which they lie, and have no bytes in common. */
  void add(const uint8_t* start, size_t length, uint32_t crc) { stretches_.push_back({start, length, crc}); }
  void reserve(size_t stretches) { stretches_.reserve(stretches_.size() + stretches); }

  /** The CRC of `length` bytes, continuing from `seed`. Stretches that lie inside are not read. */
  uint32_t sum(uint32_t seed, const uint8_t* start, size_t length) const;

 private:
  struct Stretch {
    const uint8_t* start;
    size_t length;
    uint32_t crc;
  };
  std::vector<Stretch> stretches_;
};

}  // namespace kafabric
