#include "batch/claims.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "batch/bytes.h"
#include "batch/crc32c.h"
#include "batch/header.h"
#include "batch/record.h"
#include "openssl/hmac_sha256.h"

namespace kafabric {

namespace {

/** Of a value's length, as reference batches have it. */
constexpr size_t kLengthBytes = 2;
constexpr uint32_t kReferenceMark = 0x4b465052;  // 'KFPR'
constexpr size_t kVersionAt = 4;
constexpr uint8_t kVersion = 1;
constexpr size_t kOriginalAttributesAt = 6;
constexpr size_t kOriginalRecordsAt = 48;
/** Of a claim. */
constexpr size_t kHeaderCrcAt = 20;
constexpr size_t kBaseOffsetAt = 24;
constexpr size_t kSignatureAt = kClaimBytes - kSha256Bytes;
/** Of a batch. */
constexpr size_t kLengthAt = 8;
constexpr size_t kRecordsAt = 57;
/** What references of one batch have in common. */
constexpr struct {
  size_t start, end;
} kCommon[] = {{0, 36}, {48, 52}, {56, 60}};

uint8_t* put(uint8_t* to, const uint8_t* from, const uint8_t* end) {
  auto bytes = static_cast<size_t>(end - from);
  std::memcpy(to, from, bytes);
  return to + bytes;
}

bool isReference(const Record& record) {
  return record.value && record.valueLength == static_cast<int32_t>(kPayloadReferenceBytes) && loadBe32(record.value) == kReferenceMark;
}

bool isLengthOfReference(const uint8_t* at) {
  uint8_t expected[kLengthBytes];
  writeVarint(expected, kPayloadReferenceBytes);
  return std::memcmp(at, expected, kLengthBytes) == 0;
}

/** The whole batch at the beginning; 0 when there is none. */
size_t batchBytes(const uint8_t* bytes, size_t length) {
  if (length < kBatchHeaderBytes) return 0;
  size_t size = kBatchLogOverhead + loadBe32(bytes + kLengthAt);
  return size >= kBatchHeaderBytes && size <= length ? size : 0;
}

/** The first reference of a batch; null when it has none, or is damaged. */
const uint8_t* firstReference(const uint8_t* batch, size_t length) {
  RecordCursor cursor(batch + kBatchHeaderBytes, length - kBatchHeaderBytes);
  for (Record record; !cursor.atEnd() && cursor.next(record) == RecordFault::none;)
    if (isReference(record)) return record.value;
  return nullptr;
}

/** CRC-32C of what the batch's own covers of its header, as it was produced. */
uint32_t originalHeaderCrc(const uint8_t* batch, const uint8_t* reference) {
  uint8_t header[kBatchHeaderBytes];
  std::memcpy(header, batch, sizeof(header));
  std::memcpy(header + kBatchAttributesAt, reference + kOriginalAttributesAt, sizeof(uint16_t));
  std::memcpy(header + kRecordsAt, reference + kOriginalRecordsAt, sizeof(uint32_t));
  return crc32c(0, header + kBatchCrcStart, sizeof(header) - kBatchCrcStart);
}

/** Ready for messages signed with this secret; valid until this thread asks for another. */
HmacSha256& hmacOf(const ClaimSigner& signer) {
  thread_local std::vector<uint8_t> secret;
  thread_local std::optional<HmacSha256> hmac;
  if (!hmac || !std::equal(secret.begin(), secret.end(), signer.secret, signer.secret + signer.secretBytes)) {
    hmac.emplace(signer.openssl, signer.secret, signer.secretBytes);
    secret.assign(signer.secret, signer.secret + signer.secretBytes);
  }
  return *hmac;
}

void signature(const uint8_t* reference, const uint8_t* claim, HmacSha256& hmac, const ClaimSigner& signer, uint8_t* out) {
  hmac.begin();
  for (const auto& [start, end] : kCommon) hmac.update(reference + start, end - start);
  hmac.update(claim, kSignatureAt);
  hmac.update(signer.principal, signer.principalBytes);
  hmac.finish(out);
}

/** Returns the size of the result; 0 when the batch is damaged, or there is no room for it. */
size_t withClaims(const uint8_t* batch, size_t length, const uint8_t* claim, uint8_t* out, size_t room) {
  if (room < length) return 0;
  uint8_t* to = put(out, batch, batch + kBatchHeaderBytes);
  RecordCursor cursor(batch + kBatchHeaderBytes, length - kBatchHeaderBytes);
  size_t left = room - length;
  while (!cursor.atEnd()) {
    const uint8_t* start = cursor.position();
    Record record;
    if (cursor.next(record) != RecordFault::none) return 0;
    const uint8_t* end = cursor.position();
    if (!record.value || record.valueLength != static_cast<int32_t>(kPayloadReferenceBytes)) {
      to = put(to, start, end);
      continue;
    }
    if (left < kClaimGrowthBytes || !isLengthOfReference(record.value - kLengthBytes)) return 0;
    left -= kClaimGrowthBytes;
    int32_t size = 0;
    readVarint(start, end, size);
    to = writeVarint(to, size + static_cast<int64_t>(kClaimBytes));
    to = put(to, start, record.value - kLengthBytes);
    to = writeVarint(to, kSignedReferenceBytes);
    to = put(to, record.value, record.value + kPayloadReferenceBytes);
    to = put(to, claim, claim + kClaimBytes);
    to = put(to, record.value + kPayloadReferenceBytes, end);
  }
  auto written = static_cast<size_t>(to - out);
  storeBe32(out + kLengthAt, static_cast<uint32_t>(written - kBatchLogOverhead));
  storeBatchCrc(out, written);
  return written;
}

}  // namespace

size_t signedBytes(const uint8_t* batches, size_t length) {
  size_t total = length;
  for (size_t at = 0, size = 0; (size = batchBytes(batches + at, length - at)) > 0; at += size)
    total += kClaimGrowthBytes * std::min<size_t>(loadBe32(batches + at + kRecordsAt), size / kPayloadReferenceBytes);
  return total;
}

size_t signReferences(const uint8_t* batches, size_t length, const uint8_t* claim, const ClaimSigner& signer, uint8_t* out, size_t room) {
  HmacSha256& hmac = hmacOf(signer);
  uint8_t own[kClaimBytes];
  std::memcpy(own, claim, sizeof(own));
  size_t written = 0;
  for (size_t at = 0; at < length;) {
    const uint8_t* batch = batches + at;
    size_t size = batchBytes(batch, length - at);
    if (size == 0) return 0;
    const uint8_t* reference = firstReference(batch, size);
    size_t result = size;
    if (reference && reference[kVersionAt] != kVersion) return 0;
    if (reference) {
      storeBe32(own + kHeaderCrcAt, originalHeaderCrc(batch, reference));
      std::memcpy(own + kBaseOffsetAt, batch, sizeof(uint64_t));
      signature(reference, own, hmac, signer, own + kSignatureAt);
      result = withClaims(batch, size, own, out + written, room - written);
    } else if (size <= room - written) {
      std::memcpy(out + written, batch, size);
    } else {
      result = 0;
    }
    if (result == 0) return 0;
    written += result;
    at += size;
  }
  return written;
}

bool isClaimRight(const uint8_t* reference, const ClaimSigner& signer) {
  const uint8_t* claim = reference + kPayloadReferenceBytes;
  uint8_t expected[kSha256Bytes];
  signature(reference, claim, hmacOf(signer), signer, expected);
  return signer.openssl.CRYPTO_memcmp(expected, claim + kSignatureAt, kSha256Bytes) == 0;
}

}  // namespace kafabric
