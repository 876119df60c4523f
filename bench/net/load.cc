// Load generator for bench/net: keeps a number of requests in flight on each of many connections and counts the answers.
//
//   load PORT CONNECTIONS DEPTH FRAME_BYTES SECONDS
//
// Frames are a 4-byte big-endian length and FRAME_BYTES bytes; each is answered with a frame of 8 bytes. Prints one line:
// requests per second, median and 99th percentile latency in microseconds, own CPU microseconds per request.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

namespace {

constexpr size_t kReplyBytes = 12;
constexpr size_t kWriteBytes = 1 << 20;

double cpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

uint64_t nowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Connection {
  int fd = -1;
  size_t inFlight = 0;
  size_t frameOffset = 0;  // bytes of the current frame that were sent
  size_t replyBytes = 0;   // bytes of the current reply that arrived
  bool writable = false;   // waits for room in the socket
  std::deque<uint64_t> sentAt;
};

struct Load {
  size_t depth;
  size_t frameBytes;       // with the length field
  std::vector<uint8_t> frames;  // whole frames, back to back
  int epoll = epoll_create1(0);
  uint64_t answers = 0;
  std::vector<uint32_t> latenciesUs;

  void send(Connection& connection) {
    while (connection.inFlight < depth || connection.frameOffset > 0) {
      size_t open = depth - std::min(depth, connection.inFlight);
      size_t whole = connection.frameOffset > 0 ? open + 1 : open;
      size_t length = std::min(whole * frameBytes - connection.frameOffset, frames.size() - connection.frameOffset);
      ssize_t count = ::send(connection.fd, frames.data() + connection.frameOffset, length, MSG_NOSIGNAL);
      if (count < 0 && errno == EAGAIN) {
        arm(connection, true);
        return;
      }
      if (count < 0) die("send");
      size_t end = connection.frameOffset + static_cast<size_t>(count);
      // A frame counts from its first byte.
      size_t before = (connection.frameOffset + frameBytes - 1) / frameBytes;
      size_t after = (end + frameBytes - 1) / frameBytes;
      uint64_t now = nowNs();
      for (size_t i = before; i < after; ++i) connection.sentAt.push_back(now);
      connection.inFlight += after - before;
      connection.frameOffset = end % frameBytes;
    }
    arm(connection, false);
  }

  void receive(Connection& connection) {
    uint8_t buffer[64 << 10];
    ssize_t count = recv(connection.fd, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) die("the server closed a connection");
    connection.replyBytes += static_cast<size_t>(count);
    uint64_t now = nowNs();
    while (connection.replyBytes >= kReplyBytes) {
      connection.replyBytes -= kReplyBytes;
      latenciesUs.push_back(static_cast<uint32_t>((now - connection.sentAt.front()) / 1000));
      connection.sentAt.pop_front();
      --connection.inFlight;
      ++answers;
    }
    send(connection);
  }

  void arm(Connection& connection, bool writable) {
    if (connection.writable == writable) return;
    connection.writable = writable;
    epoll_event event{};
    event.events = EPOLLIN | (writable ? EPOLLOUT : 0u);
    event.data.ptr = &connection;
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection.fd, &event);
  }

  void open(Connection& connection, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("connect");
    int one = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int buffer = 4 << 20;
    if (frameBytes > 4096) setsockopt(connection.fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    if (fcntl(connection.fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection.fd, &event);
  }

  void run(double seconds) {
    uint64_t end = nowNs() + static_cast<uint64_t>(seconds * 1e9);
    epoll_event events[64];
    while (nowNs() < end) {
      int count = epoll_wait(epoll, events, 64, 100);
      for (int i = 0; i < count; ++i) {
        auto& connection = *static_cast<Connection*>(events[i].data.ptr);
        if (events[i].events & EPOLLIN) receive(connection);
        if (events[i].events & EPOLLOUT) send(connection);
      }
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: load PORT CONNECTIONS DEPTH FRAME_BYTES SECONDS\n");
    return 2;
  }
  size_t frameBytes = std::strtoul(argv[4], nullptr, 10) + 4;
  Load load{};
  load.depth = std::strtoul(argv[3], nullptr, 10);
  load.frameBytes = frameBytes;
  size_t whole = std::max<size_t>(1, std::min(load.depth, kWriteBytes / frameBytes));
  load.frames.assign(whole * frameBytes, 'x');
  for (size_t i = 0; i < whole; ++i) {
    uint32_t length = htonl(static_cast<uint32_t>(frameBytes - 4));
    std::memcpy(load.frames.data() + i * frameBytes, &length, 4);
  }
  std::vector<Connection> connections(std::strtoul(argv[2], nullptr, 10));
  for (Connection& connection : connections) load.open(connection, static_cast<uint16_t>(std::atoi(argv[1])));
  for (Connection& connection : connections) load.send(connection);
  double seconds = std::atof(argv[5]);
  load.run(seconds / 4);  // warm up
  load.answers = 0;
  load.latenciesUs.clear();
  double cpuBefore = cpuSeconds();
  uint64_t start = nowNs();
  load.run(seconds);
  double elapsed = static_cast<double>(nowNs() - start) / 1e9;
  double cpu = cpuSeconds() - cpuBefore;
  std::sort(load.latenciesUs.begin(), load.latenciesUs.end());
  size_t count = load.latenciesUs.size();
  std::printf("%.0f %u %u %.2f\n", static_cast<double>(load.answers) / elapsed,
              count ? load.latenciesUs[count / 2] : 0, count ? load.latenciesUs[count * 99 / 100] : 0,
              cpu * 1e6 / static_cast<double>(load.answers));
  return 0;
}
