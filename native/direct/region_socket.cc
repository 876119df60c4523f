#include "direct/region_socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "store/descriptor.h"

namespace kafabric::direct {

namespace {

constexpr int kBacklog = 64;

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
  fd = -1;
  iovec part{&offer, sizeof offer};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return errno;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len >= CMSG_LEN(sizeof fd))
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  }
  // More descriptors than one have been closed by the kernel: there was no room for them.
  bool whole = count == static_cast<ssize_t>(sizeof offer) && fd >= 0 && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
  return whole ? 0 : EPROTO;
}

void answerOffer(int socket, int64_t answer) {
  [[maybe_unused]] ssize_t sent = send(socket, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int64_t offerRegion(const std::string& name, const RegionOffer& offer, int fd, int timeoutMs) {
  sockaddr_un address;
  socklen_t length;
  if (!abstractAddress(name, address, length)) return -ENAMETOOLONG;
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (socket.fd < 0) return -errno;
  timeval limit{timeoutMs / 1000, timeoutMs % 1000 * 1000};
  setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(socket.fd, reinterpret_cast<sockaddr*>(&address), length) != 0) return -errno;
  RegionOffer copy = offer;
  iovec part{&copy, sizeof copy};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(socket.fd, &message, MSG_NOSIGNAL) < 0) return -errno;
  int64_t answer = 0;
  ssize_t count = recv(socket.fd, &answer, sizeof answer, 0);
  if (count == sizeof answer) return answer;
  return count < 0 ? -errno : -ECONNRESET;
}

}  // namespace kafabric::direct
