// HMAC-SHA-256 (RFC 2104, FIPS 180-4) of short messages: a library's costs more to set up than to compute.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace kafabric {

constexpr size_t kSha256Bytes = 32;
constexpr size_t kSha256BlockBytes = 64;

/** SHA-256 of what is given piece by piece. */
class Sha256 {
 public:
  void update(const uint8_t* bytes, size_t length);
  /** Writes kSha256Bytes; it is of no further use. */
  void finish(uint8_t* out);

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, kSha256BlockBytes> pending_{};
  uint64_t length_ = 0;
};

/** A key, with which messages are signed: copies of it begin each. */
class HmacSha256 {
 public:
  /** @param length at most kSha256BlockBytes */
  HmacSha256(const uint8_t* key, size_t length);

  void update(const uint8_t* bytes, size_t length) { inner_.update(bytes, length); }
  /** Writes kSha256Bytes; it is of no further use. */
  void finish(uint8_t* out);

 private:
  Sha256 inner_;
  Sha256 outer_;
};

}  // namespace kafabric
