#include "openssl/hmac_sha256.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace kafabric {

namespace {

constexpr uint8_t kInnerPad = 0x36;
constexpr uint8_t kOuterPad = 0x5c;

/** SHA-256 fails for lack of memory only. */
void require(int result) {
  if (result != 1) throw std::bad_alloc();
}

}  // namespace

HmacSha256::HmacSha256(const OpenSsl& openssl, const uint8_t* key, size_t length)
    : openssl_(openssl), inner_(keyed(key, length, kInnerPad)), outer_(keyed(key, length, kOuterPad)), message_(make()) {}

HmacSha256::Owned HmacSha256::make() const {
  Owned digest(openssl_.EVP_MD_CTX_new(), Free{&openssl_});
  if (!digest) throw std::bad_alloc();
  return digest;
}

HmacSha256::Owned HmacSha256::keyed(const uint8_t* key, size_t length, uint8_t pad) const {
  uint8_t padded[kSha256BlockBytes];
  std::memset(padded, pad, sizeof(padded));
  for (size_t i = 0; i < std::min(length, sizeof(padded)); ++i) padded[i] ^= key[i];
  Owned digest = make();
  require(openssl_.EVP_DigestInit_ex(digest.get(), openssl_.EVP_sha256(), nullptr));
  require(openssl_.EVP_DigestUpdate(digest.get(), padded, sizeof(padded)));
  return digest;
}

void HmacSha256::copy(const Owned& from) { require(openssl_.EVP_MD_CTX_copy_ex(message_.get(), from.get())); }

void HmacSha256::begin() { copy(inner_); }

void HmacSha256::update(const uint8_t* bytes, size_t length) { require(openssl_.EVP_DigestUpdate(message_.get(), bytes, length)); }

void HmacSha256::finish(uint8_t* out) {
  uint8_t digest[kSha256Bytes];
  require(openssl_.EVP_DigestFinal_ex(message_.get(), digest, nullptr));
  copy(outer_);
  update(digest, sizeof(digest));
  require(openssl_.EVP_DigestFinal_ex(message_.get(), out, nullptr));
}

}  // namespace kafabric
