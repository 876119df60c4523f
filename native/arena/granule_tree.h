// Which granules of a memory region are free: a segment tree that finds the lowest or highest run that fits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

/**
 * Granules are numbered from 0. Finding, taking and giving back a run cost O(log n) whatever the fragmentation.
 * The tree lives in lazily touched memory in which zero means free, so that a large and mostly unused arena costs
 * little. Not thread-safe.
 */
class GranuleTree {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  /** `granules` is 1 to 2^31. Throws std::bad_alloc. */
  explicit GranuleTree(uint32_t granules);
  ~GranuleTree();
  GranuleTree(const GranuleTree&) = delete;
  GranuleTree& operator=(const GranuleTree&) = delete;

  /** The first granule of the lowest free run of `count` granules, or kNone. `count` is at least 1. */
  uint32_t find(uint32_t count) const;
  /** The first granule of the `count` granules at the end of the highest free run that is as long, or kNone. */
  uint32_t findHighest(uint32_t count) const;
  /** Marks a run; it must be wholly free before `used`, wholly used before `!used`. */
  void mark(uint32_t first, uint32_t count, bool used);

 private:
  // Each number is what the node lacks to be wholly free: 0 in a free node, the node's size in a used one.
  struct Node {
    uint32_t prefix;
    uint32_t suffix;
    uint32_t best;
  };

  void markBelow(size_t node, uint32_t start, uint32_t size, uint32_t from, uint32_t to, bool used);

  uint32_t size_ = 1;  // a power of two
  Node* nodes_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace kafabric
