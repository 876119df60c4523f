#include "fabric/tls_session.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kafabric::fabric {

namespace {

// OpenSSL's numbers, which are part of its binary interface.
constexpr int kControlMode = 33;           // SSL_CTRL_MODE
constexpr int kControlClearMode = 78;      // SSL_CTRL_CLEAR_MODE
constexpr int kControlMinVersion = 123;    // SSL_CTRL_SET_MIN_PROTO_VERSION
constexpr long kVersion13 = 0x0304;        // TLS1_3_VERSION
constexpr long kPartialWrites = 1 | 2 | 16;  // SSL_MODE_ENABLE_PARTIAL_WRITE, _ACCEPT_MOVING_WRITE_BUFFER, _RELEASE_BUFFERS
constexpr long kAutoRetry = 4;             // SSL_MODE_AUTO_RETRY
constexpr int kVerifyPeer = 1;             // SSL_VERIFY_PEER
constexpr int kWantRead = 2;               // SSL_ERROR_WANT_READ
constexpr int kWantWrite = 3;              // SSL_ERROR_WANT_WRITE
constexpr int kSystemCall = 5;             // SSL_ERROR_SYSCALL
constexpr int kZeroReturn = 6;             // SSL_ERROR_ZERO_RETURN
/** Keys that both ends have agreed on go with suites of SHA-256. */
constexpr const char* kSuites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/** What one call takes; a record is shorter. */
constexpr size_t kMaxCall = size_t{1} << 30;
constexpr size_t kDigits = 2 * sizeof(Ticket);

std::string hexOf(const Ticket& ticket) {
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (uint64_t word : ticket)
    for (int shift = 60; shift >= 0; shift -= 4) text += digits[(word >> shift) & 15];
  return text;
}

bool ticketOf(const char* text, Ticket& ticket) {
  if (::strnlen(text, kDigits + 1) != kDigits) return false;
  for (size_t i = 0; i < kDigits; ++i) {
    const char* digit = std::strchr("0123456789abcdef", text[i]);
    if (!digit) return false;
    uint64_t& word = ticket[i / 16];
    word = word << 4 | static_cast<uint64_t>(digit - "0123456789abcdef");
  }
  return true;
}

}  // namespace

struct PskCallbacks {
  static TlsSession& sessionOf(Ssl* ssl) {
    std::string error;
    return *static_cast<TlsSession*>(OpenSsl::get(error)->SSL_get_ex_data(ssl, 0));
  }

  static unsigned dialling(Ssl* ssl, const char*, char* identity, unsigned identityBytes, unsigned char* key, unsigned keyBytes) {
    TlsSession& session = sessionOf(ssl);
    std::string name = hexOf(session.ticket_);
    if (name.size() + 1 > identityBytes || session.key_.size() > keyBytes) return 0;
    std::memcpy(identity, name.c_str(), name.size() + 1);
    std::memcpy(key, session.key_.data(), session.key_.size());
    return static_cast<unsigned>(session.key_.size());
  }

  static unsigned dialled(Ssl* ssl, const char* identity, unsigned char* key, unsigned keyBytes) {
    TlsSession& session = sessionOf(ssl);
    Ticket ticket{};
    TlsKey found{};
    if (!ticketOf(identity, ticket) || found.size() > keyBytes || !session.keyOf_(ticket, found)) return 0;
    session.ticket_ = ticket;
    std::memcpy(key, found.data(), found.size());
    return static_cast<unsigned>(found.size());
  }
};

std::unique_ptr<TlsContext> TlsContext::make(IoStatus& status) {
  std::string error;
  const OpenSsl* library = OpenSsl::get(error);
  SslContext* context = library ? library->SSL_CTX_new(library->TLS_method()) : nullptr;
  if (!context) {
    status = {ENOSYS, "payload cannot be encrypted: " + (library ? std::string("OpenSSL refuses a context") : error)};
    return nullptr;
  }
  library->SSL_CTX_ctrl(context, kControlMinVersion, kVersion13, nullptr);
  library->SSL_CTX_ctrl(context, kControlMode, kPartialWrites, nullptr);
  // A read ends with a record that brings no data: a peer that renews its keys without end does not have the thread for itself.
  library->SSL_CTX_ctrl(context, kControlClearMode, kAutoRetry, nullptr);
  library->SSL_CTX_set_ciphersuites(context, kSuites);
  library->SSL_CTX_set_num_tickets(context, 0);
  library->SSL_CTX_set_psk_client_callback(context, PskCallbacks::dialling);
  library->SSL_CTX_set_psk_server_callback(context, PskCallbacks::dialled);
  return std::unique_ptr<TlsContext>(new TlsContext(*library, context));
}

TlsContext::~TlsContext() { library_.SSL_CTX_free(context_); }

TlsSession::TlsSession(const TlsContext& context, int fd, const Ticket& ticket, const TlsKey& key)
    : tls_(context.library()), ticket_(ticket), key_(key) {
  begin(context, fd);
  tls_.SSL_set_connect_state(ssl_);
  // No certificate holds here: whoever shows one has not the key.
  tls_.SSL_set_verify(ssl_, kVerifyPeer, nullptr);
}

TlsSession::TlsSession(const TlsContext& context, int fd, KeyOf keyOf) : tls_(context.library()), keyOf_(std::move(keyOf)) {
  begin(context, fd);
  tls_.SSL_set_accept_state(ssl_);
}

void TlsSession::prepareThread() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void TlsSession::begin(const TlsContext& context, int fd) {
  prepareThread();
  ssl_ = tls_.SSL_new(context.get());
  if (!ssl_) throw std::bad_alloc();
  tls_.SSL_set_ex_data(ssl_, 0, this);
  tls_.SSL_set_fd(ssl_, fd);
}

TlsSession::~TlsSession() { tls_.SSL_free(ssl_); }

ssize_t TlsSession::read(void* target, size_t bytes) {
  tls_.ERR_clear_error();
  readWaitsForOutput_ = false;
  int result = tls_.SSL_read(ssl_, target, static_cast<int>(std::min(bytes, kMaxCall)));
  return result > 0 ? result : failed(result, readWaitsForOutput_, kWantWrite);
}

ssize_t TlsSession::write(const void* source, size_t bytes) {
  tls_.ERR_clear_error();
  writeWaitsForInput_ = false;
  int result = tls_.SSL_write(ssl_, source, static_cast<int>(std::min(bytes, kMaxCall)));
  return result > 0 ? result : failed(result, writeWaitsForInput_, kWantRead);
}

ssize_t TlsSession::failed(int result, bool& waitsForOther, int other) {
  int system = errno;
  int reason = tls_.SSL_get_error(ssl_, result);
  if (reason == kWantRead || reason == kWantWrite) {
    waitsForOther = reason == other;
    errno = EAGAIN;
    return -1;
  }
  if (reason == kZeroReturn) return 0;
  errno = reason == kSystemCall && system != 0 && system != EAGAIN ? system : EPROTO;
  return -1;
}

}  // namespace kafabric::fabric
