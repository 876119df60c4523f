#include "net/acceptor.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "net/reactor.h"
#include "store/descriptor.h"
#include "store/start_thread.h"

namespace kafabric::net {

namespace {

constexpr uint64_t kNotifyData = UINT64_MAX;
constexpr uint64_t kRetryMs = 100;  // after a lack of descriptors or memory
constexpr int kKeepAliveProbes = 6;
// Then other listeners have their turn, and so has an end of it all.
constexpr int kAcceptsPerTurn = 64;

std::system_error lastError(const char* what) { return {errno, std::generic_category(), what}; }

void setInt(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

void prepareSocket(int fd, const Options& options, bool near) {
  setInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (near && options.sendBufferBytes == 0 && options.nearSendBufferBytes > 0)
    setInt(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(options.nearSendBufferBytes));
  if (options.busyPollMicros > 0) setInt(fd, SOL_SOCKET, SO_BUSY_POLL, static_cast<int>(options.busyPollMicros));
  // Finds out a peer that vanished without a word while nothing is sent to it; see Reactor::closeUnreachable for the rest.
  // TCP_USER_TIMEOUT would also end connections whose peer is alive and takes its time to read.
  int seconds = static_cast<int>(options.peerTimeoutMs / 1000);
  setInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, seconds / 2));
  setInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, seconds / 2 / kKeepAliveProbes));
  setInt(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

void setBuffers(int fd, const Options& options) {
  // Accepted sockets inherit these; the window scale is fixed when the connection is made.
  if (options.sendBufferBytes > 0) setInt(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(options.sendBufferBytes));
  if (options.receiveBufferBytes > 0) setInt(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(options.receiveBufferBytes));
}

Accepted describe(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  Accepted result;
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    result.port = ntohs(v4.sin_port);
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    }
    result.port = ntohs(v6.sin6_port);
  }
  result.ip = text;
  return result;
}

socklen_t parse(const std::string& ip, uint16_t port, sockaddr_storage& address) {
  std::memset(&address, 0, sizeof address);
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  if (inet_pton(AF_INET, ip.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (inet_pton(AF_INET6, ip.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return sizeof v6;
  }
  errno = EINVAL;
  throw lastError("not an IP address");
}

Accepted boundTo(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return describe(address);
}

}  // namespace

Acceptor::Acceptor(const Options& options, Limits& limits, Callbacks callbacks)
    : options_(options), limits_(limits), callbacks_(std::move(callbacks)) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wakeFd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kNotifyData;
  if (epoll_ < 0 || wakeFd_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeFd_, &event) != 0) {
    std::system_error error = lastError("acceptor");
    if (epoll_ >= 0) ::close(epoll_);
    if (wakeFd_ >= 0) ::close(wakeFd_);
    throw error;
  }
}

Acceptor::~Acceptor() {
  stop();
  ::close(epoll_);
  ::close(wakeFd_);
}

Acceptor::Listening Acceptor::listen(const std::string& ip, uint16_t port, std::shared_ptr<const TlsServer> tls) {
  sockaddr_storage address;
  socklen_t size = parse(ip, port, address);
  Descriptor opened(socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int fd = opened.fd;
  if (fd < 0) throw lastError("socket");
  setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.ss_family == AF_INET6) setInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ip == "::" ? 0 : 1);
  setBuffers(fd, options_);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(fd, static_cast<int>(options_.backlog)) != 0) {
    throw lastError("listen");
  }
  std::lock_guard lock(mutex_);
  // Nobody is to connect where nobody will accept.
  if (!thread_.joinable()) thread_ = startThread("kafabric-accept", [this] { run(); });
  auto listener = static_cast<uint32_t>(listeners_.size());
  epoll_event event{};
  event.events = paused_ ? 0u : EPOLLIN;
  event.data.u64 = listener;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw lastError("listen");
  listeners_.push_back(std::exchange(opened.fd, -1));
  tls_.push_back(std::move(tls));
  return {listener, boundTo(fd).port};
}

void Acceptor::setTls(uint32_t listener, std::shared_ptr<const TlsServer> tls) {
  std::lock_guard lock(mutex_);
  tls_.at(listener) = std::move(tls);
}

void Acceptor::stop() {
  if (thread_.joinable()) {
    stopping_.store(true);
    notify();
    thread_.join();
  }
  std::lock_guard lock(mutex_);
  for (int fd : listeners_) ::close(fd);
  listeners_.clear();
}

void Acceptor::notify() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wakeFd_, &one, sizeof one);
}

void Acceptor::run() {
  epoll_event events[16];
  while (!stopping_.load()) {
    int timeout = -1;
    if (paused_ && retryAtMs_ > 0) {
      uint64_t now = monotonicMs();
      timeout = retryAtMs_ <= now ? 0 : static_cast<int>(retryAtMs_ - now);
    }
    int count = epoll_wait(epoll_, events, 16, timeout);
    for (int i = 0; i < count && !stopping_.load(); ++i) {
      if (events[i].data.u64 == kNotifyData) {
        uint64_t ignored;
        [[maybe_unused]] ssize_t read = ::read(wakeFd_, &ignored, sizeof ignored);
        if (paused_ && retryAtMs_ == 0) resume();
      } else {
        auto listener = static_cast<uint32_t>(events[i].data.u64);
        std::unique_lock lock(mutex_);
        int fd = listeners_[listener];
        lock.unlock();
        acceptSome(listener, fd);
      }
    }
    if (paused_ && retryAtMs_ > 0 && retryAtMs_ <= monotonicMs()) resume();
  }
}

void Acceptor::acceptSome(uint32_t listener, int fd) {
  for (int i = 0; i < kAcceptsPerTurn && !paused_ && acceptOne(listener, fd); ++i) {
  }
}

bool Acceptor::acceptOne(uint32_t listener, int fd) {
  if (limits_.connectionsFull()) {
    pause(0);
    return false;
  }
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  int socket = accept4(fd, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) {
    bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    if (exhausted) pause(monotonicMs() + kRetryMs);
    return !exhausted && errno != EAGAIN;
  }
  Accepted accepted = describe(address);
  accepted.fd = socket;
  accepted.listener = listener;
  {
    std::lock_guard lock(mutex_);
    accepted.tls = tls_[listener];
  }
  if (!limits_.addConnection(accepted.ip)) {
    ::close(socket);
    callbacks_.refused(listener, accepted.ip);
    return true;
  }
  // Both ends of a connection within a machine have the same address.
  prepareSocket(socket, options_, boundTo(socket).ip == accepted.ip);
  callbacks_.accepted(std::move(accepted));
  return true;
}

void Acceptor::pause(uint64_t retryAtMs) {
  std::lock_guard lock(mutex_);
  paused_ = true;
  retryAtMs_ = retryAtMs;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{};
    event.data.u64 = i;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listeners_[i], &event);
  }
}

void Acceptor::resume() {
  if (limits_.connectionsFull()) return pause(0);
  std::lock_guard lock(mutex_);
  paused_ = false;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listeners_[i], &event);
  }
}

}  // namespace kafabric::net
