// Keys of records by 128 bits of keyed hash (SipHash-2-4): who produces them does not know the key of the hash, and cannot make two that
// are taken for one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric {

struct KeyHash {
  uint64_t low;
  uint64_t high;
  bool operator==(const KeyHash& other) const { return low == other.low && high == other.high; }
};

/** Makes hashes that only agree with those of the same hasher and its copies. */
class KeyHasher {
 public:
  /** With a random key. */
  KeyHasher();
  KeyHasher(uint64_t key0, uint64_t key1) : key0_(key0), key1_(key1) {}

  /** `window` tells apart records of the same key that do not replace each other; 0 where all do. */
  KeyHash operator()(const uint8_t* key, size_t length, int64_t window) const;

 private:
  uint64_t key0_;
  uint64_t key1_;
};

}  // namespace kafabric
