// CRC-32C (Castagnoli), the checksum of record batches and payloads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

/** The CRC of `length` bytes, continuing from `seed` (the CRC of the bytes before them; 0 at the start). */
uint32_t crc32c(uint32_t seed, const void* data, size_t length);

/**
 * Copies `length` bytes, and returns the CRC of what is at `to` then, continuing from `seed`: also where others change `from` meanwhile. Where the
 * processor can fold, each byte is read once, and goes past the caches.
 */
uint32_t crc32cCopy(uint32_t seed, uint8_t* to, const uint8_t* from, size_t length);

/** The CRC of two stretches one behind the other, from the CRC of each and the length of the second; reads nothing. */
uint32_t crc32cJoin(uint32_t first, uint32_t second, size_t secondLength);

/** The same as crc32c without vectors, as processors compute it that have none wide enough. */
uint32_t crc32cInstruction(uint32_t seed, const void* data, size_t length);

/** The same as crc32c without the processor's CRC instruction; for tests. */
uint32_t crc32cPortable(uint32_t seed, const void* data, size_t length);

/** What crc32c uses on this machine: "avx512", "sse4.2", "armv8" or "table". */
const char* crc32cImplementation();

}  // namespace kafabric
