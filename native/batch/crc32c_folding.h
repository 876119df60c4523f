// CRC-32C by carry-less multiplication of 64 bytes at a time, where the processor has AVX-512 and VPCLMULQDQ.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

/** What is shorter is not worth folding. */
inline constexpr size_t kFoldedMinBytes = 256;

/** Whether this processor, and the compiler that made this, can fold. */
bool canFoldCrc32c();

/**
 * Folds whole lines from `data` on into 64 bytes whose CRC, from a state of 0, is that of all of them from `state` (inverted, as within a
 * computation). `length` is kFoldedMinBytes at least; returns the bytes that were read, fewer than 64 less than `length`.
 */
size_t foldCrc32c(uint32_t state, const uint8_t* data, size_t length, uint8_t (&folded)[64]);

/** The same of bytes that it copies to `to`, the start of a line of the caches, which it goes past: each is read once. */
size_t foldCopyCrc32c(uint32_t state, uint8_t* to, const uint8_t* from, size_t length, uint8_t (&folded)[64]);

}  // namespace kafabric
