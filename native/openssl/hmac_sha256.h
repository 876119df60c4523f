// HMAC-SHA-256 (RFC 2104) of many short messages with one key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "openssl/library.h"

namespace kafabric {

constexpr size_t kSha256Bytes = 32;
constexpr size_t kSha256BlockBytes = 64;

/**
 * A key, hashed once as messages begin and end with it: setting up a hash costs OpenSSL more than a short message does. One thread at a time.
 * Throws std::bad_alloc when OpenSSL has no memory.
 */
class HmacSha256 {
 public:
  /** @param length at most kSha256BlockBytes */
  HmacSha256(const OpenSsl& openssl, const uint8_t* key, size_t length);

  /** Begins a message. */
  void begin();
  void update(const uint8_t* bytes, size_t length);
  /** Writes kSha256Bytes. */
  void finish(uint8_t* out);

 private:
  struct Free {
    const OpenSsl* openssl;
    void operator()(Digest* digest) const { openssl->EVP_MD_CTX_free(digest); }
  };
  using Owned = std::unique_ptr<Digest, Free>;

  Owned make() const;
  Owned keyed(const uint8_t* key, size_t length, uint8_t pad) const;
  void copy(const Owned& from);

  const OpenSsl& openssl_;
  Owned inner_;
  Owned outer_;
  Owned message_;
};

}  // namespace kafabric
