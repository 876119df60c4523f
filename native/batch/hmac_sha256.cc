#include "batch/hmac_sha256.h"

#include <algorithm>
#include <cstring>

#include "batch/bytes.h"

namespace kafabric {

namespace {

constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
constexpr uint8_t kInnerPad = 0x36;
constexpr uint8_t kOuterPad = 0x5c;

uint32_t rotated(uint32_t value, int bits) { return value >> bits | value << (32 - bits); }

/** The 64 words that a block is stretched to. */
void schedule(const uint8_t* bytes, uint32_t* words) {
  for (int i = 0; i < 16; ++i) words[i] = loadBe32(bytes + 4 * i);
  for (int i = 16; i < 64; ++i) {
    uint32_t a = words[i - 15];
    uint32_t b = words[i - 2];
    words[i] = words[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + words[i - 7] + (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
  }
}

}  // namespace

void Sha256::block(const uint8_t* bytes) {
  uint32_t words[64];
  schedule(bytes, words);
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < 64; ++i) {
    uint32_t first = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + kRoundConstants[i] + words[i];
    uint32_t second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const uint32_t added[8] = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < state_.size(); ++i) state_[i] += added[i];
}

void Sha256::update(const uint8_t* bytes, size_t length) {
  while (length > 0) {
    size_t filled = length_ % kSha256BlockBytes;
    size_t taken = std::min(length, kSha256BlockBytes - filled);
    std::memcpy(pending_.data() + filled, bytes, taken);
    if (filled + taken == kSha256BlockBytes) block(pending_.data());
    length_ += taken;
    bytes += taken;
    length -= taken;
  }
}

void Sha256::finish(uint8_t* out) {
  const uint64_t bits = length_ * 8;
  const uint8_t mark = 0x80;
  const uint8_t zero = 0;
  update(&mark, 1);
  while (length_ % kSha256BlockBytes != kSha256BlockBytes - sizeof(bits)) update(&zero, 1);
  uint8_t end[sizeof(bits)];
  storeBe64(end, bits);
  update(end, sizeof(end));
  for (size_t i = 0; i < state_.size(); ++i) storeBe32(out + 4 * i, state_[i]);
}

HmacSha256::HmacSha256(const uint8_t* key, size_t length) {
  uint8_t padded[kSha256BlockBytes];
  auto begin = [&](Sha256& hash, uint8_t pad) {
    std::memset(padded, pad, sizeof(padded));
    for (size_t i = 0; i < std::min(length, sizeof(padded)); ++i) padded[i] ^= key[i];
    hash.update(padded, sizeof(padded));
  };
  begin(inner_, kInnerPad);
  begin(outer_, kOuterPad);
}

void HmacSha256::finish(uint8_t* out) {
  uint8_t digest[kSha256Bytes];
  inner_.finish(digest);
  outer_.update(digest, sizeof(digest));
  outer_.finish(out);
}

}  // namespace kafabric
