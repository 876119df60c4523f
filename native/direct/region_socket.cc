#include "direct/region_socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "store/descriptor.h"

namespace kafabric::direct {

namespace {

constexpr int kBacklog = 64;

/** Calls again what was interrupted: what waits for a limited time is, when its process is stopped and goes on. */
template <typename Call>
auto whole(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/** False when the name does not fit. */
bool abstractAddress(const std::string& name, sockaddr_un& address, socklen_t& length) {
  if (name.empty() || name.size() > sizeof address.sun_path - 1) return false;
  std::memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return true;
}

union Control {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

/** The descriptors that came with a message: the first is returned, others are closed, and said in `more`. The room for one has that for two. */
int takeDescriptor(msghdr& message, bool& more) {
  int first = -1;
  more = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS || header->cmsg_len < CMSG_LEN(0)) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      if (first < 0) {
        first = fd;
      } else {
        close(fd);
        more = true;
      }
    }
  }
  return first;
}

/** Receives `size` bytes and at most one descriptor; 0 or an errno value, and no descriptor then. */
int receiveWith(int socket, void* into, size_t size, int& fd) {
  fd = -1;
  iovec part{into, size};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t count = whole([&] { return recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (count < 0) return errno;
  bool more = false;
  fd = takeDescriptor(message, more);
  if (count == static_cast<ssize_t>(size) && !more && !(message.msg_flags & MSG_TRUNC)) return 0;
  if (fd >= 0) close(fd);
  fd = -1;
  return EPROTO;
}

/** Sends `size` bytes, with a descriptor unless it is negative; 0 or an errno value. */
int sendWith(int socket, void* from, size_t size, int fd, int flags) {
  iovec part{from, size};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return whole([&] { return sendmsg(socket, &message, MSG_NOSIGNAL | flags); }) < 0 ? errno : 0;
}

/** A socket that is connected to a server; negative: an errno value. */
int connectTo(const std::string& name, int timeoutMs) {
  sockaddr_un address;
  socklen_t length;
  if (!abstractAddress(name, address, length)) return -ENAMETOOLONG;
  int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  timeval limit{timeoutMs / 1000, timeoutMs % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (whole([&] { return connect(fd, reinterpret_cast<sockaddr*>(&address), length); }) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

}  // namespace

int listenAbstract(const std::string& name) {
  sockaddr_un address;
  socklen_t length;
  if (!abstractAddress(name, address, length)) return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 && listen(fd, kBacklog) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

int acceptPeer(int listening, Peer& peer) {
  int fd = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return -errno;
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  peer = {credentials.uid, credentials.pid};
  return fd;
}

int receiveOffer(int socket, RegionOffer& offer, int& fd) {
  int error = receiveWith(socket, &offer, sizeof offer, fd);
  if (error == 0 && (fd < 0) != (offer.size == 0)) error = EPROTO;
  if (error != 0 && fd >= 0) close(std::exchange(fd, -1));
  return error;
}

int receiveWords(int socket, RegionOffer& offer) {
  ssize_t count = whole([&] { return recv(socket, &offer, sizeof offer, 0); });
  if (count < 0) return errno;
  return count == sizeof offer ? 0 : EPROTO;
}

void answerOffer(int socket, int64_t answer) {
  [[maybe_unused]] ssize_t sent = send(socket, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void turnAway(int socket) {
  // Longer than the answer to an offer, whose receiver takes its beginning.
  answerWithMemory(socket, {-EAGAIN, 0}, -1);
  // What the peer has said already must not be lost unread: that would reset the connection, and the answer with it.
  shutdown(socket, SHUT_RD);
  uint8_t ignored[sizeof(RegionOffer)];
  while (recv(socket, ignored, sizeof ignored, MSG_DONTWAIT) > 0) {
  }
  close(socket);
}

void answerWithMemory(int socket, const ServerMemory& memory, int fd) {
  ServerMemory answer = memory;
  sendWith(socket, &answer, sizeof answer, fd, MSG_DONTWAIT);
}

int64_t offerRegion(const std::string& name, const RegionOffer& offer, int fd, int timeoutMs) {
  Descriptor socket(connectTo(name, timeoutMs));
  if (socket.fd < 0) return socket.fd;
  RegionOffer copy = offer;
  int error = sendWith(socket.fd, &copy, sizeof copy, fd, 0);
  // Who is turned away is told so, and may be left before it has asked.
  if (error != 0 && error != EPIPE) return -error;
  int64_t answer = 0;
  ssize_t count = whole([&] { return recv(socket.fd, &answer, sizeof answer, 0); });
  if (count == sizeof answer) return answer;
  return count < 0 ? -errno : -ECONNRESET;
}

ServerMemory askForMemory(const std::string& name, const std::array<uint8_t, kTokenBytes>& token, int timeoutMs, int& socket,
                          int& fd) {
  socket = fd = -1;
  int connected = connectTo(name, timeoutMs);
  if (connected < 0) return {connected, 0};
  RegionOffer question{token, 0};
  ServerMemory memory{};
  int sent = sendWith(connected, &question, sizeof question, -1, 0);
  int error = receiveWith(connected, &memory, sizeof memory, fd);
  // Who is turned away may be left before it has asked, as in offerRegion.
  if (error != 0 && sent != 0) error = sent;
  if (error == 0 && memory.bytes > 0 && fd < 0) error = EPROTO;
  if (error == 0 && memory.bytes > 0) {
    socket = connected;
    return memory;
  }
  if (fd >= 0) close(std::exchange(fd, -1));
  close(connected);
  return {error != 0 ? -error : std::min<int64_t>(memory.bytes, -1), 0};
}

}  // namespace kafabric::direct
