// What links of the TCP transport receive.
#include <cerrno>
#include <cstring>

#include "fabric/tcp_transport.h"

namespace kafabric::fabric {

bool TcpTransport::onFrame(TcpConnection& connection, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) {
  Link& link = links_.at(connection.fd());
  switch (link.state) {
    case Link::State::kStranger: return onHello(link, frame);
    case Link::State::kConnecting: return frame.kind == FrameKind::kWelcome && onWelcome(link);
    case Link::State::kTarget: return onAnswer(link, frame, body, bodyBytes);
    case Link::State::kInitiator: return onAsked(link, frame, body, bodyBytes);
    case Link::State::kLeaving: return false;  // it is asked first
  }
  return false;
}

bool TcpTransport::onHello(Link& link, const Frame& frame) {
  if (frame.kind != FrameKind::kHello || frame.key != kTcpMagic) return false;
  std::lock_guard lock(ticketsMutex_);
  auto found = tickets_.find({frame.operation, frame.address});
  if (found == tickets_.end() || found->second.connection) return false;
  const TlsSession* tls = link.connection->tls();
  if (tls && tls->ticket() != found->first) return false;
  link.connection->send({FrameKind::kWelcome, 0, 0, 0, kTcpMagic, 0});
  if (found->second.loop) {
    link.loop = std::move(found->second.loop);
    link.state = Link::State::kLeaving;
    tickets_.erase(found);
    return true;
  }
  found->second.connection = link.connection.get();
  link.ticket = found->first;
  link.state = Link::State::kTarget;
  return true;
}

bool TcpTransport::onWelcome(Link& link) {
  link.state = Link::State::kInitiator;
  AnswerDone answered = std::move(link.answered);
  link.answered = nullptr;
  if (answered) answered({}, link.answer);
  return true;
}

uint8_t* TcpTransport::permitted(const Frame& frame, uint8_t access, int& error) const {
  auto found = regions_.find(frame.key);
  error = EACCES;
  if (found == regions_.end() || (found->second->access & access) == 0) return nullptr;
  const Region& region = *found->second;
  error = EFAULT;
  if (frame.address > region.length || frame.length > region.length - frame.address) return nullptr;
  error = 0;
  return region.base + frame.address;
}

bool TcpTransport::onAsked(Link& link, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) {
  int error = 0;
  if (frame.length > kMaxPieceBytes) return false;
  if (frame.kind == FrameKind::kRead) {
    uint8_t* memory = permitted(frame, kPeerReads, error);
    Frame answer{FrameKind::kReadAnswer, error, frame.operation, 0, 0, memory ? frame.length : 0};
    link.connection->send(answer, memory, answer.length);
    return true;
  }
  if (frame.kind != FrameKind::kWrite) return false;
  body = permitted(frame, kPeerWrites, error);
  bodyBytes = frame.length;
  return bodyBytes > 0 || onBody(*link.connection, frame);
}

bool TcpTransport::onAnswer(Link& link, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) {
  auto found = link.operations.find(frame.operation);
  // The memory of a piece that is answered before it has left would still be read.
  if (found == link.operations.end() || link.connection->isSending(frame.operation)) return false;
  Operation& operation = *found->second;
  bool reads = operation.direction == Direction::kRead;
  if (frame.kind != (reads ? FrameKind::kReadAnswer : FrameKind::kWriteAnswer)) return false;
  if (reads && frame.error == 0) {
    if (frame.length != operation.piece.length || frame.length == 0) return false;
    body = operation.piece.local;
    bodyBytes = frame.length;
    return true;
  }
  if (frame.length != 0) return false;
  link.operations.erase(found);
  IoStatus status;
  if (frame.error != 0) status = {frame.error, std::string("the peer refuses the transfer: ") + std::strerror(frame.error)};
  ended(operation, status, false);
  return true;
}

bool TcpTransport::onBody(TcpConnection& connection, const Frame& frame) {
  Link& link = links_.at(connection.fd());
  if (link.state == Link::State::kInitiator) {
    int error = 0;
    permitted(frame, kPeerWrites, error);
    connection.send({FrameKind::kWriteAnswer, error, frame.operation, 0, 0, 0});
    return true;
  }
  auto found = link.operations.find(frame.operation);
  if (found == link.operations.end()) return false;
  Operation& operation = *found->second;
  link.operations.erase(found);
  ended(operation, {}, false);
  return true;
}

}  // namespace kafabric::fabric
