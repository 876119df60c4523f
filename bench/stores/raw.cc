// Raw TCP over loopback between two processes: one writes pieces from memory, the other receives them into memory that is used again.
//
//   raw <seconds> <piece bytes>      prints GB/s, and the seconds of CPU time that both processes took for a GB
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

[[noreturn]] void fail(const char* what) {
  perror(what);
  exit(1);
}

double cpuSeconds(int whose) {
  rusage usage{};
  getrusage(whose, &usage);
  auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void receive(int listener, size_t piece) {
  int connection = accept(listener, nullptr, nullptr);
  if (connection < 0) fail("accept");
  std::vector<uint8_t> memory(8 * piece, 1);
  uint64_t received = 0;
  for (;;) {
    size_t at = received % memory.size();
    ssize_t got = recv(connection, memory.data() + at, memory.size() - at, 0);
    if (got < 0) fail("recv");
    if (got == 0) break;
    received += static_cast<uint64_t>(got);
  }
  if (write(connection, &received, sizeof received) != static_cast<ssize_t>(sizeof received)) fail("write");
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  double seconds = atof(words[1]);
  auto piece = static_cast<size_t>(atoll(words[2]));
  if (seconds <= 0 || piece == 0 || piece > (size_t{1} << 30)) return 2;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 1) != 0) fail("listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    receive(listener, piece);
    _exit(0);
  }
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), length) != 0) fail("connect");
  int on = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::vector<uint8_t> memory(8 * piece, 2);
  auto began = std::chrono::steady_clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  for (size_t at = 0; elapsed() < seconds; at = (at + piece) % memory.size()) {
    for (size_t sent = 0; sent < piece;) {
      ssize_t now = send(connection, memory.data() + at + sent, piece - sent, MSG_NOSIGNAL);
      if (now < 0) fail("send");
      sent += static_cast<size_t>(now);
    }
  }
  shutdown(connection, SHUT_WR);
  uint64_t received = 0;
  if (recv(connection, &received, sizeof received, MSG_WAITALL) != static_cast<ssize_t>(sizeof received)) fail("recv");
  double rate = static_cast<double>(received) / 1e9 / elapsed();
  waitpid(child, nullptr, 0);
  printf("%.4f %.4f\n", rate, (cpuSeconds(RUSAGE_SELF) + cpuSeconds(RUSAGE_CHILDREN)) / (static_cast<double>(received) / 1e9));
  return 0;
}
