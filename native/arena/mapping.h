// Address ranges for an arena.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

constexpr size_t kHugePageBytes = size_t{2} << 20;

/**
 * Maps `bytes` (whole pages) of private memory, or with a descriptor of that file from its start, shared. Starts on a huge page
 * and asks for huge pages behind `smallBytes`, which is a hint. Throws std::bad_alloc. Given back by munmap.
 */
uint8_t* mapAligned(size_t bytes, int fd = -1, size_t smallBytes = 0);

/**
 * Makes pages of a mapped range present without changing their content, which may be in use meanwhile. They must have their memory. Page by
 * page from user mode, for which the kernel locks the one mapping: madvise would lock the address space, which a thread of V8 may want to
 * change; and then whoever receives into a fresh page waits behind that.
 */
void touchPages(uint8_t* start, size_t bytes);

/** As `touchPages`, for memory of a file that may have a hole there: false when there is no memory for it, and before Linux 5.14. Locks the address space. */
bool populatePages(uint8_t* start, size_t bytes);

/** Page faults of this thread so far, those of `populatePages` included. */
uint64_t pageFaults();

}  // namespace kafabric
