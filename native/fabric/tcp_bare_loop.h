// The loop over TCP: frames and bodies on one connection, without blocking, as the transport has them.
#pragma once

#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "fabric/bare_loop.h"
#include "fabric/tcp_connection.h"

namespace kafabric::fabric {

class TcpBareLoop final : public BareLoop, private TcpConnection::Receiver {
 public:
  /** `offer`: with the ticket by which the transport that listens will know the target's connection. */
  explicit TcpBareLoop(std::string offer) : offer_(std::move(offer)) {}

  IoStatus open(std::string& offer) override;
  /** Waits for the connection. */
  IoStatus connect(const std::string& answer) override;
  /** The target has come; on any thread, which does not touch the connection any more. */
  void take(std::unique_ptr<TcpConnection> connection);

 private:
  struct Slot {
    bool isUnderWay = false;
    Direction direction = Direction::kRead;
    Range piece;
  };

  IoStatus prepare(const BareLoad& load) override;
  Carrier::Posted post(uint32_t slot, Direction direction, const Range& piece, IoStatus& status) override;
  IoStatus collect(std::vector<uint32_t>& ended) override;
  void close() override;

  bool onFrame(TcpConnection& connection, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) override;
  bool onBody(TcpConnection& connection, const Frame& frame) override;
  bool end(uint64_t slot);
  IoStatus lost() const;

  const std::string offer_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::unique_ptr<TcpConnection> taken_;  // under mutex_
  std::unique_ptr<TcpConnection> connection_;
  std::array<Slot, kMaxWindow> slots_;
  std::vector<uint32_t>* ended_ = nullptr;  // while it receives
  IoStatus refused_;
};

}  // namespace kafabric::fabric
