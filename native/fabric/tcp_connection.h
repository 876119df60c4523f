// One connection of the TCP transport: frames and their bodies, in and out, without blocking.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <memory>

#include "fabric/tcp_wire.h"
#include "fabric/tls_session.h"

namespace kafabric::fabric {

class TcpConnection {
 public:
  /** What a connection does with what it receives. */
  class Receiver {
   public:
    /**
     * A frame has come. Returns where its body goes (`bodyBytes` of it; null: nowhere, it is dropped), and false when the connection is of
     * no use any more.
     */
    virtual bool onFrame(TcpConnection& connection, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) = 0;
    /** The body of the frame before is complete. */
    virtual bool onBody(TcpConnection& connection, const Frame& frame) = 0;

   protected:
    ~Receiver() = default;
  };

  /** Takes over a socket that does not block. `tls`: what encrypts it; null: nothing does. */
  TcpConnection(int fd, Receiver& receiver, std::unique_ptr<TlsSession> tls) : fd_(fd), receiver_(&receiver), tls_(std::move(tls)) {}
  ~TcpConnection();
  TcpConnection(const TcpConnection&) = delete;
  TcpConnection& operator=(const TcpConnection&) = delete;

  int fd() const { return fd_; }
  /** Whoever receives from now on; not while it receives. */
  void handTo(Receiver& receiver) { receiver_ = &receiver; }
  /** Queues a frame and `length` bytes at `body`, which must stay. */
  void send(const Frame& frame, const uint8_t* body = nullptr, uint64_t length = 0);
  /** Writes what the socket takes; false when the connection is broken. */
  bool flush();
  /** Reads what is there, up to a share; false when the connection is broken or at its end. */
  bool receive();
  /** There is something that a socket with room takes. */
  bool hasOutput() const { return tls_ ? tls_->readWaitsForOutput() || (!output_.empty() && !tls_->writeWaitsForInput()) : !output_.empty(); }
  /** There is something to receive whatever the socket says. */
  bool hasInput() const { return tls_ && (tls_->hasBuffered() || tls_->readWaitsForOutput()); }
  /** Of an encrypted connection, once its greeting has come: the attachment for which it was opened. */
  const TlsSession* tls() const { return tls_.get(); }
  /** Whether the frame with this number, or some of its body, is still to be sent. */
  bool isSending(uint64_t operation) const;
  /** So much is queued that nothing more should be asked for. */
  bool isFull() const { return output_.size() >= kMaxQueuedFrames; }
  /** Whether a body that goes in or out touches the memory. */
  bool uses(const uint8_t* base, uint64_t length) const;

 private:
  static constexpr size_t kMaxQueuedFrames = 256;

  struct Output {
    Frame frame;
    const uint8_t* body;
    uint64_t length;
  };

  /** As recv and send on the socket. */
  ssize_t read(void* target, size_t bytes);
  ssize_t write(const iovec* parts, size_t count);
  bool receiveFrame(uint64_t& got);
  bool receiveBody(uint64_t& got);

  int fd_;
  Receiver* receiver_;
  std::unique_ptr<TlsSession> tls_;  // goes before the descriptor is closed
  std::deque<Output> output_;
  uint64_t sent_ = 0;  // of the first of them

  Frame frame_{};
  uint64_t frameBytes_ = 0;     // of it that have come
  uint8_t* body_ = nullptr;     // where the next byte of the body goes
  uint64_t bodyBytes_ = 0;      // that are still to come
};

}  // namespace kafabric::fabric
