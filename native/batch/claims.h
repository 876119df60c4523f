// Reference batches as direct listeners return them: each payload reference has a claim behind it, 80 bytes that TypeScript makes and signs
// (src/protocol/records/signed-reference.ts), the same for all records of a batch.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

constexpr size_t kClaimBytes = 80;
/** By how much a record grows at most: the claim, and a longer length of the record. */
constexpr size_t kClaimGrowthBytes = kClaimBytes + 2;

/**
 * Writes a reference batch to `out`, which has room for `room` bytes, with `claim` behind each reference, and lengths and CRC to match. What is no
 * reference (a tombstone) stays as it is. Returns the size of the result; 0 when the batch is damaged, or there is no room for it.
 */
size_t claimReferences(const uint8_t* batch, size_t length, const uint8_t* claim, uint8_t* out, size_t room);

}  // namespace kafabric
