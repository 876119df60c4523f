#include "fabric/tcp_transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fabric/tcp_socket.h"
#include "store/descriptor.h"

namespace kafabric::fabric {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are sent as they are in memory");

namespace {

/** A connection has so long to say who it is, and a ticket to be used. */
constexpr auto kGreetingTime = std::chrono::seconds(5);
constexpr auto kTicketTime = std::chrono::seconds(60);
constexpr auto kLookPause = std::chrono::milliseconds(500);
constexpr size_t kMaxTickets = 65'536;
constexpr size_t kMaxStrangers = 256;
/** Pieces under way of an initiator: a thousand peers with full windows. */
constexpr uint32_t kMaxInFlight = 8192;
constexpr int kEvents = 64;

const IoStatus kLost{ECONNRESET, "the peer's connection is lost; it has to attach again"};

template <typename Value>
Value random() {
  Value value{};
  while (::getrandom(&value, sizeof(value), 0) != sizeof(value)) {
  }
  return value;
}

}  // namespace

TcpTransport::Region::~Region() {
  owner.regions_.erase(key);
  std::vector<int> using_;
  for (auto& [fd, link] : owner.links_) {
    if (link.connection->uses(base, length)) using_.push_back(fd);
  }
  for (int fd : using_) owner.drop(fd, {ECONNABORTED, "memory was withdrawn while it was in use"});
}

std::unique_ptr<TcpTransport> TcpTransport::open(const TcpOptions& options, const BulkLimits& limits, IoStatus& status) {
  uint16_t port = 0;
  std::unique_ptr<TlsContext> tls;
  if (options.encrypted && !(tls = TlsContext::make(status))) return nullptr;
  Descriptor listener(options.listen ? listenOn(options.host, options.port, port, status) : -1);
  if (options.listen && listener.fd < 0) return nullptr;
  BulkLimits own = limits;
  own.pieceBytes = std::min(own.pieceBytes, kMaxPieceBytes);
  // No queue is too short for them here: peers that do not answer hold up nobody else.
  if (options.listen) own.maxInFlight = std::max(own.maxInFlight, kMaxInFlight);
  std::unique_ptr<TcpTransport> transport(new TcpTransport(options, own, std::move(tls), listener.fd, port));
  listener.fd = -1;  // the transport has it now
  if (transport->epoll_ < 0) {
    status = systemFailure("epoll");
    return nullptr;
  }
  transport->startThread();
  return transport;
}

TcpTransport::TcpTransport(const TcpOptions& options, const BulkLimits& limits, std::unique_ptr<TlsContext> tls, int listener,
                           uint16_t port)
    : Transport({options.encrypted ? kTlsTransportName : kTcpTransportName, options.host.empty() ? "any" : options.host}, limits),
      options_(options),
      tls_(std::move(tls)),
      listener_(listener),
      port_(port),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  if (listener_ >= 0 && epoll_ >= 0) ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
}

TcpTransport::~TcpTransport() {
  stop();
  if (listener_ >= 0) ::close(listener_);
  if (epoll_ >= 0) ::close(epoll_);
}

std::shared_ptr<BareLoop> TcpTransport::bareLoop() {
  TcpAddress address = newAddress();
  auto loop = std::make_shared<TcpBareLoop>(address.encode());
  expect(address, loop);
  return loop;
}

std::string TcpTransport::offer() {
  TcpAddress address = newAddress();
  expect(address, nullptr);
  return address.encode();
}

TcpAddress TcpTransport::newAddress() const {
  TcpAddress address;
  address.ticket = random<Ticket>();
  if (tls_) address.key = random<TlsKey>();
  address.port = port_;
  address.host = options_.advertised;
  return address;
}

void TcpTransport::expect(const TcpAddress& address, std::shared_ptr<TcpBareLoop> loop) {
  std::lock_guard lock(ticketsMutex_);
  // Above the limit the ticket is not taken, and whoever comes with it is turned away.
  if (tickets_.size() >= kMaxTickets) return;
  Expected& expected = tickets_[address.ticket];
  expected.since = Clock::now();
  expected.key = address.key.value_or(TlsKey{});
  expected.loop = std::move(loop);
}

void TcpTransport::answer(const std::string& offer, AnswerDone done) {
  if (!command([this, offer, done] { dial(offer, done); })) done({ESHUTDOWN, "the transport is stopped"}, {});
}

void TcpTransport::dial(const std::string& offer, AnswerDone done) {
  TcpAddress address;
  if (!TcpAddress::decode(offer, tls_ != nullptr, address) || address.port == 0) return done({EINVAL, "the peer's address cannot be used"}, {});
  IoStatus status;
  int fd = startConnecting(address.host, address.port, status);
  if (fd < 0) return done(status, {});
  auto tls = tls_ ? std::make_unique<TlsSession>(*tls_, fd, address.ticket, *address.key) : nullptr;
  Link& link = addLink(fd, Link::State::kConnecting, std::move(tls));
  link.ticket = address.ticket;
  link.answered = std::move(done);
  // Of a key nothing is said any more.
  link.answer = TcpAddress{address.ticket, 0, {}, {}}.encode();
  link.connection->send({FrameKind::kHello, 0, address.ticket[0], address.ticket[1], kTcpMagic, 0});
  watch(link);
}

std::unique_ptr<TlsSession> TcpTransport::tlsForStranger(int fd) {
  if (!tls_) return nullptr;
  return std::make_unique<TlsSession>(*tls_, fd, [this](const Ticket& ticket, TlsKey& key) {
    std::lock_guard lock(ticketsMutex_);
    auto found = tickets_.find(ticket);
    if (found != tickets_.end()) key = found->second.key;
    return found != tickets_.end();
  });
}

TcpTransport::Link& TcpTransport::addLink(int fd, Link::State state, std::unique_ptr<TlsSession> tls) {
  int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  Link& link = links_[fd];
  link.connection.reset(new TcpConnection(fd, *this, std::move(tls)));
  link.since = Clock::now();
  link.state = state;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  return link;
}

void TcpTransport::acceptAll() {
  for (;;) {
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Whoever waits would be told of again and again.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) watchListener(false);
      return;
    }
    auto strangers = std::count_if(links_.begin(), links_.end(),
                                   [](const auto& link) { return link.second.state == Link::State::kStranger; });
    if (static_cast<size_t>(strangers) >= kMaxStrangers) ::close(fd);
    else addLink(fd, Link::State::kStranger, tlsForStranger(fd));
  }
}

void TcpTransport::watchListener(bool on) {
  listenerRests_ = !on;
  epoll_event event{};
  event.events = on ? EPOLLIN : 0u;
  event.data.fd = listener_;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
}

std::unique_ptr<Transport::Registration> TcpTransport::makeRegistration(uint8_t* base, size_t length, uint8_t access, IoStatus&) {
  auto region = std::make_unique<Region>(*this, base, length, access);
  if (access == 0) return region;
  region->key = random<uint64_t>();
  regions_[region->key] = region.get();
  return region;
}

void TcpTransport::connectPeer(PeerId peer, const std::string& text, Done done) {
  TcpAddress address;
  {
    std::lock_guard lock(ticketsMutex_);
    auto found = TcpAddress::decode(text, false, address) ? tickets_.find(address.ticket) : tickets_.end();
    if (found != tickets_.end() && found->second.peer == 0) {
      found->second.peer = peer;
      peers_[peer] = address.ticket;
    }
  }
  done(peers_.count(peer) > 0 ? IoStatus{} : IoStatus{EINVAL, "the peer answers to no offer of ours"});
}

TcpTransport::Expected* TcpTransport::expectedOf(PeerId peer) {
  auto known = peers_.find(peer);
  if (known == peers_.end()) return nullptr;
  auto found = tickets_.find(known->second);
  return found == tickets_.end() ? nullptr : &found->second;
}

void TcpTransport::disconnectPeer(PeerId peer) {
  int fd = -1;
  {
    std::lock_guard lock(ticketsMutex_);
    // None of a peer whose connection is lost already.
    if (Expected* expected = expectedOf(peer)) {
      if (expected->connection) fd = expected->connection->fd();
      tickets_.erase(peers_.at(peer));
    }
  }
  peers_.erase(peer);
  if (fd >= 0) drop(fd, kLost);
}

Carrier::Posted TcpTransport::postPiece(Operation& operation, IoStatus& status) {
  TcpConnection* connection = nullptr;
  {
    std::lock_guard lock(ticketsMutex_);
    Expected* expected = expectedOf(operation.peer);
    if (!expected) {
      status = kLost;
      return Posted::kFailed;
    }
    connection = expected->connection;
  }
  if (!connection || connection->isFull()) return Posted::kBusy;
  Link& link = links_.at(connection->fd());
  const Range& piece = operation.piece;
  uint64_t number = nextOperation_++;
  bool reads = operation.direction == Direction::kRead;
  Frame frame{reads ? FrameKind::kRead : FrameKind::kWrite, 0, number, piece.address, piece.key, piece.length};
  link.operations[number] = &operation;
  connection->send(frame, piece.local, reads ? 0 : piece.length);
  if (!std::exchange(link.unsent, true)) unsent_.push_back(connection->fd());
  return Posted::kUnderWay;
}

/** What is posted in one round leaves by one system call. A broken connection is noticed when it is read from. */
void TcpTransport::sendPosted() {
  for (int fd : unsent_) {
    auto found = links_.find(fd);
    if (found == links_.end() || !std::exchange(found->second.unsent, false)) continue;
    found->second.connection->flush();
    watch(found->second);
  }
  unsent_.clear();
}

void TcpTransport::watch(Link& link) {
  bool output = link.connection->hasOutput();
  bool paused = link.connection->isFull();
  // The socket does not tell of what is decrypted already.
  bool holds = link.connection->hasInput() && !output && !paused;
  if (holds && !std::exchange(link.held, true)) held_.push_back(link.connection->fd());
  if (output == link.wantsOutput && paused == link.paused) return;
  link.wantsOutput = output;
  link.paused = paused;
  epoll_event event{};
  event.events = (paused ? 0u : EPOLLIN) | (output ? EPOLLOUT : 0u);
  event.data.fd = link.connection->fd();
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, link.connection->fd(), &event);
}

bool TcpTransport::readHeld() {
  std::vector<int> held;
  held.swap(held_);
  for (int fd : held) {
    auto found = links_.find(fd);
    if (found != links_.end() && std::exchange(found->second.held, false)) serve(fd, 0);
  }
  return !held.empty();
}

bool TcpTransport::poll() {
  sendPosted();
  bool any = readHeld();
  epoll_event events[kEvents];
  int count = ::epoll_wait(epoll_, events, kEvents, 0);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == listener_) acceptAll();
    else serve(events[i].data.fd, events[i].events);
  }
  any |= count > 0;
  if (Clock::now() < nextLook_) return any;
  if (listenerRests_) watchListener(true);
  dropLate();
  return any;
}

void TcpTransport::serve(int fd, uint32_t events) {
  auto found = links_.find(fd);
  if (found == links_.end()) return;  // dropped in this round
  Link& link = found->second;
  bool alive = true;
  errno = 0;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || link.connection->hasInput()) alive = link.connection->receive();
  if (alive) alive = link.connection->flush();
  if (alive && link.state == Link::State::kLeaving && !link.connection->hasOutput()) return handOver(fd);
  if (alive) return watch(link);
  bool dialled = link.answered != nullptr;
  if (errno == 0) errno = ECONNRESET;
  drop(fd, dialled ? systemFailure("the peer cannot be reached by " + name().provider) : kLost);
}

void TcpTransport::wait(int wakeFd, Clock::duration longest, bool) {
  pollfd fds[2] = {{wakeFd, POLLIN, 0}, {epoll_, POLLIN, 0}};
  auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
  ::poll(fds, 2, static_cast<int>(milliseconds));
}

void TcpTransport::drop(int fd, const IoStatus& why) {
  auto found = links_.find(fd);
  if (found == links_.end()) return;
  Link link = std::move(found->second);
  links_.erase(found);
  if (link.state == Link::State::kTarget) {
    std::lock_guard lock(ticketsMutex_);
    tickets_.erase(link.ticket);
  }
  link.connection.reset();
  if (link.answered) link.answered(why, {});
  for (auto& [number, operation] : link.operations) ended(*operation, why, false);
}

void TcpTransport::dropLate() {
  Clock::time_point now = Clock::now();
  nextLook_ = now + kLookPause;
  std::vector<int> late;
  for (auto& [fd, link] : links_) {
    bool greeted = link.state == Link::State::kTarget || link.state == Link::State::kInitiator;
    if (!greeted && now - link.since > kGreetingTime) late.push_back(fd);
  }
  {
    std::lock_guard lock(ticketsMutex_);
    for (auto at = tickets_.begin(); at != tickets_.end();) {
      bool unused = at->second.peer == 0 && now - at->second.since > kTicketTime;
      if (unused && at->second.connection) late.push_back(at->second.connection->fd());
      at = unused ? tickets_.erase(at) : std::next(at);
    }
  }
  for (int fd : late) drop(fd, {ETIMEDOUT, "the peer did not greet in time"});
}

std::set<PeerId> TcpTransport::forget(const std::set<PeerId>& peers) {
  for (PeerId peer : peers) {
    int fd = -1;
    {
      std::lock_guard lock(ticketsMutex_);
      Expected* expected = expectedOf(peer);
      if (expected && expected->connection) fd = expected->connection->fd();
    }
    if (fd >= 0) drop(fd, kLost);
  }
  return peers;
}

void TcpTransport::shutDown() {
  while (!links_.empty()) drop(links_.begin()->first, {ESHUTDOWN, "the transport is stopped"});
}

void TcpTransport::handOver(int fd) {
  Link link = std::move(links_.at(fd));
  links_.erase(fd);
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  link.loop->take(std::move(link.connection));
}

}  // namespace kafabric::fabric
