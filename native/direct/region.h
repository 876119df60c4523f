// Memory that another process owns, reached through its file descriptor: a memfd that came over a Unix socket, sealed so that it keeps its
// size. It is read and written by system calls and never mapped, so that whatever its owner does to it (fills it with holes) is an error of
// that call, not a signal to this process.
#pragma once

#include <cstddef>
#include <cstdint>

#include "store/descriptor.h"

namespace kafabric::direct {

class Region {
 public:
  /** Owns `fd`, which was found to be a file of at least `size` bytes. */
  Region(int fd, uint64_t size) : descriptor_(fd), size_(size) {}

  bool holds(uint64_t offset, uint64_t length) const { return length <= size_ && offset <= size_ - length; }

  /** Copies from the region, or to it; the range is inside it. Returns 0 or an errno value: EFAULT where the owner has made it shorter. */
  int read(uint8_t* into, size_t length, uint64_t offset) const;
  int write(const uint8_t* from, size_t length, uint64_t offset) const;

 private:
  Descriptor descriptor_;
  uint64_t size_;
};

/** Whether `fd` can be a region of `size` bytes, a memfd that is sealed against becoming shorter: 0, or an errno value. */
int checkRegion(int fd, uint64_t size);

/** A new memfd of `size` bytes, all of whose memory is there; negative: an errno value. */
int createShared(uint64_t size);

}  // namespace kafabric::direct
