#include "openssl/hmac_sha256.h"

#include <cstdio>
#include <string>

#include "test/test.h"

using namespace kafabric;

namespace {

const uint8_t* bytesOf(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

std::string hexOf(const uint8_t* bytes, size_t length) {
  std::string hex;
  for (size_t i = 0; i < length; ++i) {
    char text[3];
    std::snprintf(text, sizeof(text), "%02x", bytes[i]);
    hex += text;
  }
  return hex;
}

}  // namespace

TEST(hmac_sha256_is_what_rfc_4231_says) {
  struct Case {
    std::string key, message, digest;
  };
  const Case cases[] = {
      {std::string(20, '\x0b'), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
  };
  std::string error;
  const OpenSsl* openssl = OpenSsl::get(error);
  CHECK(openssl != nullptr);
  for (const auto& [key, message, digest] : cases) {
    HmacSha256 hmac(*openssl, bytesOf(key), key.size());
    for (size_t first = 0; first <= message.size(); ++first) {
      hmac.begin();
      hmac.update(bytesOf(message), first);
      hmac.update(bytesOf(message) + first, message.size() - first);
      uint8_t out[kSha256Bytes];
      hmac.finish(out);
      CHECK(hexOf(out, sizeof(out)) == digest);
    }
  }
}
