// How connections end, and the reactor's timers.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "net/reactor.h"

namespace kafabric::net {

namespace {

constexpr uint64_t kStallCheckMs = 1000;
constexpr uint64_t kReachCheckMs = 5000;
constexpr uint64_t kHeldCheckMs = 500;

}  // namespace

void Reactor::startDrain(uint64_t deadlineMs) {
  draining_ = true;
  deadlineMs_ = deadlineMs;
  std::vector<Connection*> all;
  for (auto& [id, connection] : connections_) all.push_back(connection.get());
  for (Connection* connection : all) {
    connection->reading = false;
    connection->reader.abandon();
    finishReplies(*connection);
  }
}

void Reactor::closeExpired() {
  if (draining_ && nowMs_ >= deadlineMs_) {
    while (Connection* connection = activity_.oldest()) close(*connection, CloseReason::kShutdown);
    return;
  }
  if (!shaking_.empty()) closeUnshaken();
  if (options_.idleMs > 0) closeIdle();
  if (blocked_ > 0 && nowMs_ >= nextHeldCheckMs_) giveBackHeldMemory();
  if (someWait()) closeStalled();
  if (nowMs_ >= nextReachCheckMs_) closeUnreachable();
}

void Reactor::closeUnshaken() {
  while (!shaking_.empty() && shaking_.front().first <= nowMs_) {
    auto found = connections_.find(shaking_.front().second);
    shaking_.pop_front();
    if (found == connections_.end() || found->second->tls->established()) continue;
    announce(*found->second, {}, "it takes longer than " + std::to_string(options_.handshakeMs) + " ms");
    close(*found->second, CloseReason::kTlsFailed);
  }
}

void Reactor::closeIdle() {
  while (Connection* connection = activity_.oldest()) {
    if (connection->activeAtMs + options_.idleMs > nowMs_) return;
    // Waiting for us is not idling, unless the peer does not take what we send.
    bool ours = connection->inFlight.paused() || connection->inFlight.count() > (connection->reader.inLargeFrame() ? 1 : 0);
    if ((ours && connection->output.empty()) || (connection->reading && connection->reader.unreadGrew())) {
      activity_.remove(*connection);
      activity_.add(*connection, nowMs_);
    } else {
      close(*connection, CloseReason::kIdle);
    }
  }
}

void Reactor::closeStalled() {
  Connection* next = nullptr;
  for (Connection* connection = activity_.oldest(); connection; connection = next) {
    if (connection->activeAtMs + options_.stalledFrameMs > nowMs_) return;
    next = connection->newer;
    bool stalled = connection->reading && connection->reader.inLargeFrame();
    if (stalled) close(*connection, CloseReason::kStalledFrame);
  }
}

/** Whether the peer takes nothing of a reply that holds memory. */
bool Reactor::holdsUp(const Connection& connection) const {
  return connection.output.reporting() && connection.sentAtMs + options_.stalledReplyMs <= nowMs_;
}

/** Peers that are slow to read are served from the device; those that do not read at all are closed, if they hold much. */
void Reactor::giveBackHeldMemory() {
  nextHeldCheckMs_ = nowMs_ + kHeldCheckMs;
  uint64_t before = nowMs_ - std::min(nowMs_, options_.heldReplyMs);
  uint64_t bytes = 0;
  Connection* next = nullptr;
  for (Connection* connection = activity_.oldest(); connection; connection = next) {
    next = connection->newer;
    if (!connection->output.empty()) bytes += connection->output.giveBackMemory(before);
    if (holdsUp(*connection)) close(*connection, CloseReason::kReplyNotTaken);
  }
  stats_.givenBackBytes.fetch_add(bytes, std::memory_order_relaxed);
}

void Reactor::closeUnreachable() {
  nextReachCheckMs_ = nowMs_ + kReachCheckMs;
  Connection* next = nullptr;
  for (Connection* connection = activity_.oldest(); connection; connection = next) {
    if (connection->activeAtMs + options_.peerTimeoutMs > nowMs_) return;
    next = connection->newer;
    if (connection->output.empty()) continue;
    tcp_info info{};
    socklen_t size = sizeof info;
    bool known = getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
    // A peer that is alive acknowledges; one that only does not read has acknowledged all that it had room for.
    bool silent = known && info.tcpi_unacked > 0 && info.tcpi_last_ack_recv > options_.peerTimeoutMs;
    if (silent) close(*connection, CloseReason::kReset, ETIMEDOUT);
  }
}

void Reactor::close(Connection& connection, CloseReason reason, double detail) {
  connection.closed = true;
  if (!connection.announced) announce(connection);
  if (reason == CloseReason::kClosedHere || reason == CloseReason::kShutdown) {
    // Unread data would turn the close into a reset, which can destroy replies on their way.
    if (connection.tls) connection.tls->end();
    shutdown(connection.fd, SHUT_WR);
    uint8_t discarded[4096];
    for (int i = 0; i < 64 && recv(connection.fd, discarded, sizeof discarded, 0) > 0; ++i) {
    }
  }
  epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.fd, nullptr);
  if (connection.armed & EPOLLOUT) --blocked_;
  activity_.remove(connection);
  limits_.removeConnection(connection.ip);
  stats_.connections.fetch_sub(1, std::memory_order_relaxed);
  inbox_.addControl(EventType::kClosed, connection.id, static_cast<double>(reason), detail);
  auto found = connections_.find(connection.id);
  graveyard_.push_back(std::move(found->second));
  connections_.erase(found);
}

/** Of a peer that is not read from. What it has sent before is still served. */
void Reactor::onPeerEnded(Connection& connection) {
  if (connection.reader.cutShort()) return close(connection, connection.reader.closeReason(), connection.reader.closeDetail());
  int unread = 0;
  bool holds = connection.reader.holdsFrames() || (connection.tls && connection.tls->holdsInput());
  if (ioctl(connection.fd, FIONREAD, &unread) == 0 && unread == 0 && !holds)
    return close(connection, CloseReason::kPeerClosed);
  connection.peerEnded = true;
  arm(connection);
}

void Reactor::closeWhenSent(Connection& connection, CloseReason reason) {
  if (!(connection.armed & EPOLLOUT)) send(connection);
  if (connection.closed) return;
  connection.reading = false;
  connection.reader.abandon();
  connection.closeWhenSent = true;
  connection.closeReason = reason;
  finishReplies(connection);
}

int Reactor::waitMs() const {
  uint64_t wakeAt = UINT64_MAX;
  Connection* oldest = activity_.oldest();
  if (oldest && options_.idleMs > 0) wakeAt = oldest->activeAtMs + options_.idleMs;
  if (draining_ && oldest) wakeAt = std::min(wakeAt, deadlineMs_);
  if (blocked_ > 0) wakeAt = std::min(wakeAt, nextHeldCheckMs_);
  if (someWait()) wakeAt = std::min(wakeAt, nowMs_ + kStallCheckMs);
  if (!shaking_.empty()) wakeAt = std::min(wakeAt, shaking_.front().first);
  if (!held_.empty()) wakeAt = nowMs_;
  if (oldest) wakeAt = std::min(wakeAt, std::max(nextReachCheckMs_, oldest->activeAtMs + options_.peerTimeoutMs));
  if (wakeAt == UINT64_MAX) return -1;
  return wakeAt <= nowMs_ ? 0 : static_cast<int>(std::min<uint64_t>(wakeAt - nowMs_, 1 << 30));
}

}  // namespace kafabric::net
