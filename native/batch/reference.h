// Reference batches: what the log keeps of a batch whose records section lies in the payload tier.
//
// A reference batch is a valid batch with the original's offsets, deltas, timestamps, producer state and record count. Each record
// keeps its key and headers; its value, unless null, is a payload reference of 64 bytes, big-endian:
//
//    0 magic 'KFPR'              4 version 1 (u8)         5 flags (u8)              6 original attributes (i16)
//    8 original batch CRC (u32) 12 store id (u32)        16 segment id (u64)       24 extent position (u64)
//   32 extent length (u32)      36 value offset (u32)    40 value length (u32)     44 value CRC-32C (u32)
//   48 original record count    52 record index (u32)    56 uncompressed length    60 reserved (0)
//
// The extent is the original's records section as it was produced; the value offset counts from the start of the section
// after decompression, whose length is the "uncompressed length".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "batch/known_sums.h"
#include "codec/buffer.h"

namespace kafabric {

constexpr size_t kPayloadReferenceBytes = 64;
/** Extents have a CRC for each stretch of so many bytes, so that a part of one can be checked without the rest. */
constexpr size_t kExtentPieceBytes = size_t{32} << 10;
/** Smaller extents are always read as a whole. */
constexpr size_t kPiecedExtentBytes = 4 * kExtentPieceBytes;

/** Where the payload tier put the records section. */
struct ExtentLocation {
  uint32_t storeId;
  uint64_t segmentId;
  uint64_t position;
};

/**
 * Appends the reference batch of a checked batch to `out`, without its location and CRC, which are set by locateReference.
 * `header` is the original's header (kBatchHeaderBytes), `section` its records after decompression. Returns the CRC of `section`, which is
 * read once for it and for the values' CRCs, and for those of its pieces, kExtentPieceBytes each but for the last, if `pieces` is given and
 * it has kPiecedExtentBytes or more. `known`: what of it was summed before.
 */
uint32_t buildReferenceTemplate(const uint8_t* header, const uint8_t* section, size_t length, ByteBuffer& out,
                                std::vector<uint32_t>* pieces = nullptr, const KnownSums& known = {});

/**
 * Completes a reference batch in place: the location, and everything that may have changed in the original's header
 * since (base offset, leader epoch, timestamp type, CRC), is set in header and references, then the CRC of the reference batch.
 * False, and nothing is changed, when `reference` is not a reference batch for a batch with this header.
 */
bool locateReference(uint8_t* reference, size_t length, const uint8_t* originalHeader, const ExtentLocation& location);

}  // namespace kafabric
