#include "fabric/tcp_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace kafabric::fabric {

namespace {

struct Resolved {
  addrinfo* list = nullptr;
  ~Resolved() {
    if (list) ::freeaddrinfo(list);
  }
};

/** A numeric address; names would wait for a server. */
int resolve(const std::string& host, uint16_t port, bool passive, Resolved& resolved) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  return ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &resolved.list);
}

}  // namespace

IoStatus systemFailure(const std::string& what) { return {errno, what + ": " + std::strerror(errno)}; }

int listenOn(const std::string& host, uint16_t wanted, uint16_t& port, IoStatus& status) {
  Resolved resolved;
  // One socket for both families where nothing else is said.
  if (resolve(host.empty() ? "::" : host, wanted, true, resolved) != 0) {
    status = {EINVAL, "not a numeric address: " + host};
    return -1;
  }
  int fd = ::socket(resolved.list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 && host.empty()) return listenOn("0.0.0.0", wanted, port, status);
  int on = 1;
  int off = 0;
  if (fd >= 0) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (fd >= 0 && resolved.list->ai_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (fd < 0 || ::bind(fd, resolved.list->ai_addr, resolved.list->ai_addrlen) != 0 || ::listen(fd, SOMAXCONN) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    status = systemFailure("plain TCP cannot listen on " + (host.empty() ? "any address" : host));
    if (fd >= 0) ::close(fd);
    return -1;
  }
  port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return fd;
}

int startConnecting(const std::string& host, uint16_t port, IoStatus& status) {
  Resolved resolved;
  if (host.empty() || resolve(host, port, false, resolved) != 0) {
    status = {EINVAL, "not a numeric address: " + host};
    return -1;
  }
  int fd = ::socket(resolved.list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && (::connect(fd, resolved.list->ai_addr, resolved.list->ai_addrlen) == 0 || errno == EINPROGRESS)) return fd;
  status = systemFailure("plain TCP to " + host + " port " + std::to_string(port));
  if (fd >= 0) ::close(fd);
  return -1;
}

}  // namespace kafabric::fabric
