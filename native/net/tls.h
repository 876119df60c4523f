// TLS of accepted connections: what a listener shows and asks for, and one connection's stage between socket and frames.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "openssl/library.h"

namespace kafabric::net {

/** PEM: one certificate in each string. */
struct TlsSettings {
  enum class ClientAuth : uint8_t { kNone, kRequested, kRequired };

  /** Its own, and behind it those of the CAs between it and the root. */
  std::vector<std::string> certificates;
  /** Not encrypted. */
  std::string key;
  /** CAs of clients. */
  std::vector<std::string> authorities;
  ClientAuth clientAuth = ClientAuth::kNone;
  /** TLS 1.2 is spoken too, not only 1.3. */
  bool allowsVersion12 = true;
};

/** Of one listener, for connections that come from now on. Never changed; any thread. */
class TlsServer {
 public:
  /** Null, and why. */
  static std::shared_ptr<const TlsServer> make(const TlsSettings& settings, std::string& error);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  const OpenSsl& library() const { return tls_; }
  SslContext* context() const { return context_; }

 private:
  TlsServer(const OpenSsl& tls, SslContext* context) : tls_(tls), context_(context) {}
  bool apply(const TlsSettings& settings, std::string& error);

  const OpenSsl& tls_;
  SslContext* context_;
};

/** One connection's end. For its reactor's thread, which has SIGPIPE blocked or ignored: OpenSSL writes to sockets whose peer may be gone. */
class TlsStream {
 public:
  enum class Handshake : uint8_t { kDone, kWaits, kFailed };

  /** The descriptor stays its owner's. */
  TlsStream(const TlsServer& server, int fd);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  /** Goes on with it; `failure` says why it failed, and nothing when the peer has gone. */
  Handshake shake();
  bool established() const { return established_; }
  const std::string& failure() const { return failure_; }
  /** Of the certificate that the client has shown, as RFC 2253 writes it; empty without one. */
  std::string subject() const;

  /** As recv on a socket that does not block, but fills the target as far as there is anything. */
  ssize_t read(void* target, size_t bytes);
  /** As send; may take a part. After EAGAIN the same bytes, or more that begin with them, are to be given again. */
  ssize_t write(const void* source, size_t bytes);
  /** `read` may give more without the socket being readable. */
  bool holdsInput() const { return holdsInput_; }
  /** The last handshake step or read waits until the socket takes output. */
  bool waitsForOutput() const { return waitsForOutput_; }
  /** Tells the peer that nothing more comes. */
  void end();

 private:
  ssize_t failed(int result);

  const OpenSsl& tls_;
  Ssl* ssl_;
  std::string failure_;
  bool established_ = false;
  bool holdsInput_ = false;
  bool waitsForOutput_ = false;
  bool broken_ = false;
};

}  // namespace kafabric::net
