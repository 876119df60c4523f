// Reference batches as direct listeners return them: each payload reference has a claim of 80 bytes behind it, the same for all records of a
// batch (src/protocol/records/signed-reference.ts). It is signed with HMAC-SHA-256 over what all references of the batch have in common, the claim
// itself, and the principal that fetches it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "batch/reference.h"
#include "openssl/library.h"

namespace kafabric {

constexpr size_t kClaimBytes = 80;
constexpr size_t kSignedReferenceBytes = kPayloadReferenceBytes + kClaimBytes;
/** By how much a record grows at most: the claim, and a longer length of the record. */
constexpr size_t kClaimGrowthBytes = kClaimBytes + 2;

/** Who signs, and for whom. Of it only the last secret of a thread is kept. */
struct ClaimSigner {
  const OpenSsl& openssl;
  const uint8_t* secret;
  size_t secretBytes;
  const uint8_t* principal;
  size_t principalBytes;
};

/** Room for what `signReferences` makes of batches, at most. */
size_t signedBytes(const uint8_t* batches, size_t length);

/**
 * Writes reference batches, one behind the other, to `out`, which has room for `room` bytes, with a claim behind each reference, and lengths and CRC to
 * match. What is no reference (a tombstone) stays as it is. `claim` has kClaimBytes and is complete but for what differs between batches: the
 * CRC of the original header, the base offset, the signature. Returns the size of the result; 0 when a batch is damaged, or there is no room.
 */
size_t signReferences(const uint8_t* batches, size_t length, const uint8_t* claim, const ClaimSigner& signer, uint8_t* out, size_t room);

/** Whether the claim of a signed reference (kSignedReferenceBytes) was signed so. */
bool isClaimRight(const uint8_t* reference, const ClaimSigner& signer);

}  // namespace kafabric
