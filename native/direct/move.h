// Copies between arena memory and regions of clients, strided or not, with the CRC-32C of what was copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/arena.h"
#include "batch/known_sums.h"
#include "direct/region.h"

namespace kafabric::direct {

/** `count` blocks of `block` bytes, `stride` bytes from start to start. */
struct Blocks {
  size_t offset;
  size_t count;
  size_t block;
  size_t stride;

  size_t bytes() const { return count * block; }
};

/** Blocks of one range of memory go behind each other to another, or nowhere: then only their CRC is wanted. */
struct Move {
  enum class Kind : uint8_t {
    kCheck,   // reads the blocks of `memory`
    kGather,  // from the blocks of `memory` to `target` at `targetOffset`
    kPush,    // from the blocks of `memory` to `region` at `targetOffset`
    kPull,    // from `region` at `targetOffset` to the first block of `memory`
  };
  Kind kind;
  MemoryRef memory;
  std::vector<Blocks> blocks;
  MemoryRef target;
  std::shared_ptr<Region> region;
  uint64_t targetOffset = 0;
  /** Whether the CRC is wanted: it costs about as much as a copy. */
  bool checksum = true;
};

struct Moved {
  /** 0 or an errno value. */
  int error = 0;
  /** Of the blocks, one behind the other, as they are in arena memory; 0 when it was not wanted. */
  uint32_t crc = 0;
};

/** All ranges were checked to be inside what they are of. */
Moved perform(const Move& move);

/** Has the beginning of what a move reads brought into the caches, while the one before is performed. */
void expect(const Move& move);

/**
 * As `perform` of a pull to a records section that begins at `section`: what was copied of each of its pieces (see batch/reference.h) is added to
 * `sums`, as it is in memory. Returns 0 or an errno value.
 */
int pullSummed(const Move& move, const uint8_t* section, KnownSums& sums);

}  // namespace kafabric::direct
