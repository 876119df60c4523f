#include "net/tls.h"

#include <algorithm>
#include <cerrno>
#include <new>

namespace kafabric::net {

namespace {

// OpenSSL's numbers, which are part of its binary interface.
constexpr int kControlMode = 33;             // SSL_CTRL_MODE
constexpr int kControlSessionCache = 44;     // SSL_CTRL_SET_SESS_CACHE_MODE
constexpr int kControlClearMode = 78;        // SSL_CTRL_CLEAR_MODE
constexpr int kControlChain = 89;            // SSL_CTRL_CHAIN_CERT
constexpr int kControlMinVersion = 123;      // SSL_CTRL_SET_MIN_PROTO_VERSION
constexpr long kVersion12 = 0x0303;          // TLS1_2_VERSION
constexpr long kVersion13 = 0x0304;          // TLS1_3_VERSION
constexpr long kPartialWrites = 1 | 2 | 16;  // SSL_MODE_ENABLE_PARTIAL_WRITE, _ACCEPT_MOVING_WRITE_BUFFER, _RELEASE_BUFFERS
constexpr long kAutoRetry = 4;               // SSL_MODE_AUTO_RETRY
// SSL_OP_NO_TICKET, _NO_COMPRESSION, _CIPHER_SERVER_PREFERENCE, _NO_RENEGOTIATION: without sessions to resume every connection shows its certificate.
// SSL_OP_IGNORE_UNEXPECTED_EOF: frames say themselves whether they are whole.
constexpr uint64_t kOptions = 1u << 14 | 1u << 17 | 1u << 22 | 1u << 30 | 1u << 7;
constexpr int kVerifyPeer = 1;      // SSL_VERIFY_PEER
constexpr int kVerifyRequired = 3;  // with SSL_VERIFY_FAIL_IF_NO_PEER_CERT
constexpr int kWantRead = 2;        // SSL_ERROR_WANT_READ
constexpr int kWantWrite = 3;       // SSL_ERROR_WANT_WRITE
constexpr int kSystemCall = 5;      // SSL_ERROR_SYSCALL
constexpr int kZeroReturn = 6;      // SSL_ERROR_ZERO_RETURN
// XN_FLAG_RFC2253, with UTF-8 as it is: as Java writes the principals of Kafka's clients.
constexpr unsigned long kNameFlags = 0x313 | 1ul << 16 | 1ul << 20 | 1ul << 24;
constexpr size_t kMaxCall = size_t{1} << 30;

/** PEM in memory, as OpenSSL reads it. */
class Text {
 public:
  Text(const OpenSsl& tls, const std::string& text) : tls_(tls), bio_(tls.BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))) {
    if (!bio_) throw std::bad_alloc();
  }
  ~Text() { tls_.BIO_free(bio_); }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  Bio* get() const { return bio_; }

 private:
  const OpenSsl& tls_;
  Bio* bio_;
};

/** What OpenSSL says of its first error since the last call; `otherwise` when it says nothing. */
std::string reasonOf(const OpenSsl& tls, const char* otherwise) {
  unsigned long error = tls.ERR_get_error();
  const char* reason = error == 0 ? nullptr : tls.ERR_reason_error_string(error);
  std::string result = reason ? reason : otherwise;
  tls.ERR_clear_error();
  return result;
}

/** Gives a certificate in PEM to `use`, which does not keep it; false when it is none or `use` says so. */
template <typename Use>
bool withCertificate(const OpenSsl& tls, const std::string& pem, Use use) {
  Text text(tls, pem);
  Certificate* certificate = tls.PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr);
  if (!certificate) return false;
  bool used = use(certificate);
  tls.X509_free(certificate);
  return used;
}

}  // namespace

std::shared_ptr<const TlsServer> TlsServer::make(const TlsSettings& settings, std::string& error) {
  const OpenSsl* library = OpenSsl::get(error);
  if (!library) return nullptr;
  SslContext* context = library->SSL_CTX_new(library->TLS_method());
  if (!context) throw std::bad_alloc();
  std::shared_ptr<TlsServer> server(new TlsServer(*library, context));
  library->ERR_clear_error();
  return server->apply(settings, error) ? server : nullptr;
}

TlsServer::~TlsServer() { tls_.SSL_CTX_free(context_); }

bool TlsServer::apply(const TlsSettings& settings, std::string& error) {
  tls_.SSL_CTX_ctrl(context_, kControlMinVersion, settings.allowsVersion12 ? kVersion12 : kVersion13, nullptr);
  tls_.SSL_CTX_ctrl(context_, kControlMode, kPartialWrites, nullptr);
  // A read ends with a record that brings no data: a client that renews its keys without end does not have the thread for itself.
  tls_.SSL_CTX_ctrl(context_, kControlClearMode, kAutoRetry, nullptr);
  tls_.SSL_CTX_ctrl(context_, kControlSessionCache, 0, nullptr);
  tls_.SSL_CTX_set_options(context_, kOptions);
  tls_.SSL_CTX_set_num_tickets(context_, 0);
  bool isOwn = true;
  for (const std::string& pem : settings.certificates) {
    bool used = withCertificate(tls_, pem, [&](Certificate* certificate) {
      // With 1 the chain has a reference of its own.
      return (isOwn ? tls_.SSL_CTX_use_certificate(context_, certificate) : tls_.SSL_CTX_ctrl(context_, kControlChain, 1, certificate)) == 1;
    });
    isOwn = false;
    if (used) continue;
    error = "a certificate cannot be used: " + reasonOf(tls_, "it is none");
    return false;
  }
  Text text(tls_, settings.key);
  PrivateKey* key = tls_.PEM_read_bio_PrivateKey(text.get(), nullptr, nullptr, nullptr);
  bool fits = key && tls_.SSL_CTX_use_PrivateKey(context_, key) == 1 && tls_.SSL_CTX_check_private_key(context_) == 1;
  if (key) tls_.EVP_PKEY_free(key);
  if (!fits) {
    error = "the key cannot be used: " + reasonOf(tls_, "it is none");
    return false;
  }
  for (const std::string& pem : settings.authorities) {
    bool used = withCertificate(tls_, pem, [&](Certificate* certificate) {
      return tls_.X509_STORE_add_cert(tls_.SSL_CTX_get_cert_store(context_), certificate) == 1 &&
             tls_.SSL_CTX_add_client_CA(context_, certificate) == 1;
    });
    if (used) continue;
    error = "the certificate of a CA cannot be used: " + reasonOf(tls_, "it is none");
    return false;
  }
  if (settings.clientAuth != TlsSettings::ClientAuth::kNone)
    tls_.SSL_CTX_set_verify(context_, settings.clientAuth == TlsSettings::ClientAuth::kRequired ? kVerifyRequired : kVerifyPeer, nullptr);
  return true;
}

TlsStream::TlsStream(const TlsServer& server, int fd) : tls_(server.library()), ssl_(tls_.SSL_new(server.context())) {
  if (!ssl_) throw std::bad_alloc();
  tls_.SSL_set_fd(ssl_, fd);
  tls_.SSL_set_accept_state(ssl_);
}

TlsStream::~TlsStream() { tls_.SSL_free(ssl_); }

TlsStream::Handshake TlsStream::shake() {
  tls_.ERR_clear_error();
  waitsForOutput_ = false;
  int result = tls_.SSL_do_handshake(ssl_);
  if (result == 1) {
    established_ = true;
    holdsInput_ = true;  // what came with its end
    return Handshake::kDone;
  }
  int reason = tls_.SSL_get_error(ssl_, result);
  if (reason == kWantRead || reason == kWantWrite) {
    waitsForOutput_ = reason == kWantWrite;
    return Handshake::kWaits;
  }
  broken_ = true;
  if (reason == kZeroReturn || reason == kSystemCall) return Handshake::kFailed;
  long verified = tls_.SSL_get_verify_result(ssl_);
  failure_ = verified == 0 ? reasonOf(tls_, "OpenSSL does not say why")
                           : std::string("the client's certificate: ") + tls_.X509_verify_cert_error_string(verified);
  return Handshake::kFailed;
}

std::string TlsStream::subject() const {
  Certificate* certificate = tls_.SSL_get1_peer_certificate(ssl_);
  if (!certificate) return {};
  std::string result;
  Bio* text = tls_.BIO_new(tls_.BIO_s_mem());
  if (text && tls_.X509_NAME_print_ex(text, tls_.X509_get_subject_name(certificate), 0, kNameFlags) >= 0) {
    char part[256];
    for (int bytes; (bytes = tls_.BIO_read(text, part, sizeof part)) > 0;) result.append(part, static_cast<size_t>(bytes));
  }
  if (text) tls_.BIO_free(text);
  tls_.X509_free(certificate);
  return result;
}

ssize_t TlsStream::read(void* target, size_t bytes) {
  auto* to = static_cast<uint8_t*>(target);
  size_t total = 0;
  waitsForOutput_ = false;
  while (total < bytes) {
    tls_.ERR_clear_error();
    int count = tls_.SSL_read(ssl_, to + total, static_cast<int>(std::min(bytes - total, kMaxCall)));
    if (count > 0) {
      total += static_cast<size_t>(count);
      continue;
    }
    // An end, or an error, shows again with the next call.
    int reason = tls_.SSL_get_error(ssl_, count);
    holdsInput_ = total > 0 && reason != kWantRead && reason != kWantWrite;
    waitsForOutput_ = reason == kWantWrite;
    return total > 0 ? static_cast<ssize_t>(total) : failed(count);
  }
  holdsInput_ = true;
  return static_cast<ssize_t>(total);
}

ssize_t TlsStream::write(const void* source, size_t bytes) {
  tls_.ERR_clear_error();
  int count = tls_.SSL_write(ssl_, source, static_cast<int>(std::min(bytes, kMaxCall)));
  if (count > 0) return count;
  ssize_t result = failed(count);
  if (result == 0) errno = EPIPE;
  return -1;
}

ssize_t TlsStream::failed(int result) {
  int system = errno;
  int reason = tls_.SSL_get_error(ssl_, result);
  if (reason == kWantRead || reason == kWantWrite) {
    errno = EAGAIN;
    return -1;
  }
  if (reason == kZeroReturn) return 0;
  broken_ = true;
  if (reason == kSystemCall && (system == 0 || system == EAGAIN)) return 0;
  errno = reason == kSystemCall ? system : EPROTO;
  return -1;
}

void TlsStream::end() {
  if (!established_ || broken_) return;
  tls_.ERR_clear_error();
  tls_.SSL_shutdown(ssl_);
}

}  // namespace kafabric::net
