// The same records with another compression, for topics that ask for one (compression.type).
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/codec.h"

namespace kafabric {

/**
 * Makes `out` the batch with its records compressed by `codec`, under its own header with length, attributes and CRC to match. `batch` is
 * one whole batch that was checked. Throws CodecError or std::bad_alloc; uses `scratch` for the uncompressed records.
 */
void recompressBatch(const uint8_t* batch, size_t length, Codec codec, size_t maxUncompressedBytes, ByteBuffer& scratch,
                     ByteBuffer& out);

}  // namespace kafabric
