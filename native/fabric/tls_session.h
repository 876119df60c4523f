// TLS 1.3 over one connection of the TCP transport. Its ends know each other by a key of one attachment (a pre-shared key), which went over their
// control connection, where certificates were looked at; a fresh exchange of keys keeps what was sent from whoever learns it later.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "fabric/tcp_wire.h"
#include "openssl/library.h"
#include "store/io.h"

namespace kafabric::fabric {

/** What sessions of a transport have in common. */
class TlsContext {
 public:
  /** Null, and why, without OpenSSL. */
  static std::unique_ptr<TlsContext> make(IoStatus& status);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  const OpenSsl& library() const { return library_; }
  SslContext* get() const { return context_; }

 private:
  TlsContext(const OpenSsl& library, SslContext* context) : library_(library), context_(context) {}

  const OpenSsl& library_;
  SslContext* context_;
};

/** One end of a connection. On one thread, whose SIGPIPE it blocks: OpenSSL writes to sockets whose peer may be gone. */
class TlsSession {
 public:
  /** The key of the attachment that the other end names; false when there is none. */
  using KeyOf = std::function<bool(const Ticket&, TlsKey&)>;

  /** Of whoever dials. The descriptor stays its owner's. */
  TlsSession(const TlsContext& context, int fd, const Ticket& ticket, const TlsKey& key);
  /** Of whoever is dialled. */
  TlsSession(const TlsContext& context, int fd, KeyOf keyOf);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /** For a thread that did not make the session, before it uses it. */
  static void prepareThread();
  /** As recv and send on a socket that does not block: -1 with errno EAGAIN when it has to wait, 0 at the end. */
  ssize_t read(void* target, size_t bytes);
  ssize_t write(const void* source, size_t bytes);
  /** Decrypted bytes that `read` gives without the socket. */
  bool hasBuffered() const { return tls_.SSL_pending(ssl_) > 0; }
  /** What the last call waits for: a write that waits for the peer's greeting is not to be tried because the socket takes bytes. */
  bool writeWaitsForInput() const { return writeWaitsForInput_; }
  bool readWaitsForOutput() const { return readWaitsForOutput_; }
  /** Which attachment it was opened for. */
  const Ticket& ticket() const { return ticket_; }

 private:
  friend struct PskCallbacks;

  void begin(const TlsContext& context, int fd);
  ssize_t failed(int result, bool& waitsForOther, int other);

  const OpenSsl& tls_;
  Ssl* ssl_ = nullptr;
  Ticket ticket_{};
  TlsKey key_{};
  KeyOf keyOf_;
  bool writeWaitsForInput_ = false;
  bool readWaitsForOutput_ = false;
};

}  // namespace kafabric::fabric
