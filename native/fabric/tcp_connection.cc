#include "fabric/tcp_connection.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kafabric::fabric {

namespace {

/** How much of one connection is read before others have their turn. */
constexpr uint64_t kShare = uint64_t{4} << 20;
constexpr size_t kVectors = 16;
constexpr uint64_t kDropBytes = 64 << 10;

bool wouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

TcpConnection::~TcpConnection() {
  tls_.reset();
  ::close(fd_);
}

ssize_t TcpConnection::read(void* target, size_t bytes) {
  return tls_ ? tls_->read(target, bytes) : ::recv(fd_, target, bytes, MSG_DONTWAIT);
}

ssize_t TcpConnection::write(const iovec* parts, size_t count) {
  if (tls_) return tls_->write(parts[0].iov_base, parts[0].iov_len);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = count;
  return ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void TcpConnection::send(const Frame& frame, const uint8_t* body, uint64_t length) { output_.push_back({frame, body, length}); }

bool TcpConnection::flush() {
  while (!output_.empty()) {
    iovec parts[kVectors];
    size_t count = 0;
    uint64_t skip = sent_;
    for (auto at = output_.begin(); at != output_.end() && count + 2 <= kVectors; ++at) {
      auto add = [&](const void* start, uint64_t length) {
        uint64_t skipped = std::min(skip, length);
        skip -= skipped;
        if (skipped < length) parts[count++] = {const_cast<uint8_t*>(static_cast<const uint8_t*>(start)) + skipped, length - skipped};
      };
      add(&at->frame, sizeof(Frame));
      add(at->body, at->length);
    }
    ssize_t written = write(parts, count);
    if (written <= 0) return written < 0 && wouldBlock();
    sent_ += static_cast<uint64_t>(written);
    while (!output_.empty() && sent_ >= sizeof(Frame) + output_.front().length) {
      sent_ -= sizeof(Frame) + output_.front().length;
      output_.pop_front();
    }
  }
  return true;
}

bool TcpConnection::receive() {
  uint64_t got = 0;
  while (got < kShare && !isFull()) {
    uint64_t before = got;
    if (!(bodyBytes_ > 0 ? receiveBody(got) : receiveFrame(got))) return false;
    if (got == before) return true;
  }
  return true;
}

bool TcpConnection::receiveFrame(uint64_t& got) {
  ssize_t count = read(reinterpret_cast<uint8_t*>(&frame_) + frameBytes_, sizeof(Frame) - frameBytes_);
  if (count <= 0) return count < 0 && wouldBlock();
  got += static_cast<uint64_t>(count);
  frameBytes_ += static_cast<uint64_t>(count);
  if (frameBytes_ < sizeof(Frame)) return true;
  frameBytes_ = 0;
  body_ = nullptr;
  return receiver_->onFrame(*this, frame_, body_, bodyBytes_);
}

bool TcpConnection::receiveBody(uint64_t& got) {
  uint8_t dropped[kDropBytes];
  uint8_t* target = body_ ? body_ : dropped;
  uint64_t room = body_ ? bodyBytes_ : std::min(bodyBytes_, kDropBytes);
  ssize_t count = read(target, room);
  if (count <= 0) return count < 0 && wouldBlock();
  got += static_cast<uint64_t>(count);
  bodyBytes_ -= static_cast<uint64_t>(count);
  if (body_) body_ += count;
  return bodyBytes_ > 0 || receiver_->onBody(*this, frame_);
}

bool TcpConnection::isSending(uint64_t operation) const {
  return std::any_of(output_.begin(), output_.end(), [&](const Output& one) { return one.frame.operation == operation; });
}

bool TcpConnection::uses(const uint8_t* base, uint64_t length) const {
  auto inside = [&](const uint8_t* at) { return at && at >= base && at < base + length; };
  if (bodyBytes_ > 0 && inside(body_)) return true;
  return std::any_of(output_.begin(), output_.end(), [&](const Output& one) { return one.length > 0 && inside(one.body); });
}

}  // namespace kafabric::fabric
