#include "fabric/tcp_bare_loop.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

namespace kafabric::fabric {

namespace {

constexpr int kLongestWaitMs = 10;
constexpr auto kArrival = std::chrono::seconds(5);

}  // namespace

IoStatus TcpBareLoop::open(std::string& offer) {
  offer = offer_;
  return {};
}

void TcpBareLoop::take(std::unique_ptr<TcpConnection> connection) {
  connection->handTo(*this);
  std::lock_guard lock(mutex_);
  taken_ = std::move(connection);
  came_.notify_all();
}

IoStatus TcpBareLoop::connect(const std::string&) {
  std::unique_lock lock(mutex_);
  if (!came_.wait_for(lock, kArrival, [this] { return taken_ != nullptr; })) return {ETIMEDOUT, "the target did not connect"};
  connection_ = std::move(taken_);
  return {};
}

IoStatus TcpBareLoop::prepare(const BareLoad&) {
  if (!connection_) return {ENOTCONN, "the target is not connected"};
  TlsSession::prepareThread();
  return {};
}

Carrier::Posted TcpBareLoop::post(uint32_t slot, Direction direction, const Range& piece, IoStatus& status) {
  if (connection_->isFull()) return Carrier::Posted::kBusy;
  bool reads = direction == Direction::kRead;
  slots_[slot] = {true, direction, piece};
  Frame frame{reads ? FrameKind::kRead : FrameKind::kWrite, 0, slot, piece.address, piece.key, piece.length};
  connection_->send(frame, piece.local, reads ? 0 : piece.length);
  if (connection_->flush()) return Carrier::Posted::kUnderWay;
  status = lost();
  return Carrier::Posted::kFailed;
}

IoStatus TcpBareLoop::collect(std::vector<uint32_t>& ended) {
  ended_ = &ended;
  bool alive = connection_->receive() && connection_->flush();
  ended_ = nullptr;
  if (!refused_.ok()) return refused_;
  if (!alive) return lost();
  if (!ended.empty() || connection_->hasInput()) return {};
  auto events = static_cast<short>(POLLIN | (connection_->hasOutput() ? POLLOUT : 0));
  pollfd fd{connection_->fd(), events, 0};
  ::poll(&fd, 1, kLongestWaitMs);
  return {};
}

bool TcpBareLoop::onFrame(TcpConnection& connection, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) {
  if (frame.operation >= kMaxWindow || !slots_[frame.operation].isUnderWay) return false;
  // The memory of a piece that is answered before it has left would still be read.
  if (connection.isSending(frame.operation)) return false;
  const Slot& slot = slots_[frame.operation];
  bool reads = slot.direction == Direction::kRead;
  if (frame.kind != (reads ? FrameKind::kReadAnswer : FrameKind::kWriteAnswer)) return false;
  if (frame.error != 0) {
    refused_ = {frame.error, std::string("the target refuses a piece: ") + std::strerror(frame.error)};
    return false;
  }
  if (frame.length != (reads ? slot.piece.length : 0)) return false;
  if (!reads) return end(frame.operation);
  body = slot.piece.local;
  bodyBytes = frame.length;
  return true;
}

bool TcpBareLoop::onBody(TcpConnection&, const Frame& frame) { return end(frame.operation); }

bool TcpBareLoop::end(uint64_t slot) {
  slots_[slot].isUnderWay = false;
  ended_->push_back(static_cast<uint32_t>(slot));
  return true;
}

IoStatus TcpBareLoop::lost() const { return {ECONNRESET, "the connection to the target is lost"}; }

void TcpBareLoop::close() { connection_.reset(); }

}  // namespace kafabric::fabric
