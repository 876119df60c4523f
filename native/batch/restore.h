// The rest of a batch whose records lie in the payload tier, after compaction has removed some of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/buffer.h"

namespace kafabric {

/** Bytes of what restoreBatch makes of a reference batch; 0 when that is damaged. */
size_t restoredBytes(const uint8_t* reference, size_t length);

/**
 * Appends the batch that a reference batch stands for: its records with the values that its references name, uncompressed. `extent` is the
 * records section of the original, as it was produced, and was checked with its CRC. Throws CodecError when the two do not belong together,
 * and std::bad_alloc.
 */
void restoreBatch(const uint8_t* reference, size_t length, const uint8_t* extent, size_t extentLength, ByteBuffer& scratch,
                  ByteBuffer& out);

}  // namespace kafabric
