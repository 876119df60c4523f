// The least that a server can do, as the upper limit for bench/net: one thread that receives whole small frames with epoll and answers
// each with a frame of 8 bytes. Frames that do not arrive whole end it. Prints its port, and for each line of its standard input its usage, until
// that ends.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

/** CPU microseconds and context switches so far. */
void printUsage() {
  rusage all{};
  getrusage(RUSAGE_SELF, &all);
  long long cpuUs = (all.ru_utime.tv_sec + all.ru_stime.tv_sec) * 1000000LL + all.ru_utime.tv_usec + all.ru_stime.tv_usec;
  std::printf("%lld %ld\n", cpuUs, all.ru_nvcsw + all.ru_nivcsw);
  std::fflush(stdout);
}

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/** False when the connection ended. */
bool serve(int fd) {
  static uint8_t received[1 << 20];
  static uint8_t answers[12 << 10];
  ssize_t count = recv(fd, received, sizeof received, 0);
  size_t length = 0;
  for (ssize_t at = 0; at + 12 <= count && length < sizeof answers; length += 12) {
    uint32_t frame;
    std::memcpy(&frame, received + at, 4);
    uint32_t eight = htonl(8);
    std::memcpy(answers + length, &eight, 4);
    std::memcpy(answers + length + 4, received + at + 4, 8);
    at += 4 + ntohl(frame);
    if (at > count) return false;
  }
  return count > 0 && send(fd, answers, length, MSG_NOSIGNAL) == static_cast<ssize_t>(length);
}

}  // namespace

int main() {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(listener, reinterpret_cast<sockaddr*>(&address), size);
  listen(listener, 511);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  int epoll = epoll_create1(0);
  watch(epoll, listener);
  watch(epoll, STDIN_FILENO);
  for (bool running = true; running;) {
    epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) {
        char line[64];
        running = read(STDIN_FILENO, line, sizeof line) > 0;
        if (running) printUsage();
      } else if (fd == listener) {
        int accepted = accept(listener, nullptr, nullptr);
        int one = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(epoll, accepted);
      } else if (!serve(fd)) {
        close(fd);
      }
    }
  }
  return 0;
}
