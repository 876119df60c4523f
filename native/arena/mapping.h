// Address ranges for an arena.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

constexpr size_t kHugePageBytes = size_t{2} << 20;

/**
 * Maps `bytes` (whole pages) of private memory, or with a descriptor of that file from its start, shared. Starts on a huge page
 * and asks for huge pages, which is a hint. Throws std::bad_alloc. Given back by munmap.
 */
uint8_t* mapAligned(size_t bytes, int fd = -1);

/**
 * Makes the pages of a mapped range present without changing their content, which may be in use meanwhile. False when the
 * memory for them is lacking.
 */
bool populatePages(uint8_t* start, size_t bytes);

}  // namespace kafabric
