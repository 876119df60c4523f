#include "compaction/key_hash.h"

#include <cstring>
#include <random>

namespace kafabric {

namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  static uint64_t rotate(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }
  void round() {
    v0 += v1;
    v1 = rotate(v1, 13) ^ v0;
    v0 = rotate(v0, 32);
    v2 += v3;
    v3 = rotate(v3, 16) ^ v2;
    v0 += v3;
    v3 = rotate(v3, 21) ^ v0;
    v2 += v1;
    v1 = rotate(v1, 17) ^ v2;
    v2 = rotate(v2, 32);
  }
  void take(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  uint64_t finish() {
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t loadWord(const uint8_t* bytes, size_t length) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, length);
  return word;
}

}  // namespace

KeyHasher::KeyHasher() {
  std::random_device random;
  key0_ = uint64_t{random()} << 32 | random();
  key1_ = uint64_t{random()} << 32 | random();
}

KeyHash KeyHasher::operator()(const uint8_t* key, size_t length, int64_t window) const {
  SipState state{key0_ ^ 0x736f6d6570736575u, key1_ ^ 0x646f72616e646f6du ^ 0xee, key0_ ^ 0x6c7967656e657261u,
                 key1_ ^ 0x7465646279746573u};
  // The window comes first: all keys of one length follow it at the same place.
  state.take(static_cast<uint64_t>(window));
  const uint8_t* end = key + length / 8 * 8;
  for (const uint8_t* p = key; p < end; p += 8) state.take(loadWord(p, 8));
  state.take(loadWord(end, length % 8) | static_cast<uint64_t>(length) << 56);
  state.v2 ^= 0xee;
  KeyHash hash{};
  hash.low = state.finish();
  state.v1 ^= 0xdd;
  hash.high = state.finish();
  return hash;
}

}  // namespace kafabric
