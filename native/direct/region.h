// Memory that another process owns, reached through its file descriptor: a memfd that came over a Unix socket, sealed so that it keeps its
// size. It is mapped, and copied with a guard: whatever its owner does to it is an error of that copy, not a signal to this process.
#pragma once

#include <cstddef>
#include <cstdint>

#include "store/descriptor.h"

namespace kafabric::direct {

class Region {
 public:
  /** Owns `fd`, which was found to be a file of at least `size` bytes. Where it cannot be mapped, system calls copy. */
  Region(int fd, uint64_t size);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  bool holds(uint64_t offset, uint64_t length) const { return length <= size_ && offset <= size_ - length; }

  /**
   * Copies from the region, or to it; the range is inside it. Returns 0 or an errno value: EFAULT where there is no memory, because the owner
   * has made it shorter or no more can be had.
   */
  int read(uint8_t* into, size_t length, uint64_t offset) const;
  int write(const uint8_t* from, size_t length, uint64_t offset) const;

  /** Where it is mapped, to be touched by guarded copies alone; null where it is not. */
  uint8_t* pages() const { return pages_; }

 private:
  Descriptor descriptor_;
  uint64_t size_;
  uint8_t* pages_;  // null when it is not mapped
};

/** Whether `fd` can be a region of `size` bytes, a memfd that is sealed against becoming shorter: 0, or an errno value. */
int checkRegion(int fd, uint64_t size);

/** A new memfd of `size` bytes, all of whose memory is there; negative: an errno value. */
int createShared(uint64_t size);

}  // namespace kafabric::direct
