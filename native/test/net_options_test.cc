// What is set on sockets that are accepted.
#include <netinet/tcp.h>

#include <future>

#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

int optionOf(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK_EQ(getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

/** A connection to an acceptor, and the socket at its end. */
class AcceptedSocket {
 public:
  explicit AcceptedSocket(const Options& settings)
      : limits_(settings),
        acceptor_(settings, limits_,
                  {[this](Accepted accepted) { fd_.set_value(accepted.fd); }, [](uint32_t, const std::string&) {}}),
        client_(acceptor_.listen("127.0.0.1", 0).port),
        fd(fd_.get_future().get()) {}
  ~AcceptedSocket() { ::close(fd); }

 private:
  std::promise<int> fd_;
  Limits limits_;
  Acceptor acceptor_;
  Client client_;

 public:
  const int fd;
};

}  // namespace

TEST(net_sends_small_replies_at_once) {
  Options settings = options(1);
  AcceptedSocket accepted(settings);
  CHECK(optionOf(accepted.fd, IPPROTO_TCP, TCP_NODELAY) != 0);
}

TEST(net_polls_the_device_for_as_long_as_is_configured) {
  Options settings = options(1);
  int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int usual = optionOf(plain, SOL_SOCKET, SO_BUSY_POLL);
  int wanted = usual + 30;
  int result = setsockopt(plain, SOL_SOCKET, SO_BUSY_POLL, &wanted, sizeof wanted);
  ::close(plain);
  {
    AcceptedSocket accepted(settings);
    CHECK_EQ(optionOf(accepted.fd, SOL_SOCKET, SO_BUSY_POLL), usual);
  }
  if (result != 0) throw Skipped("SO_BUSY_POLL needs CAP_NET_ADMIN");
  settings.busyPollMicros = static_cast<uint32_t>(wanted);
  AcceptedSocket accepted(settings);
  CHECK_EQ(optionOf(accepted.fd, SOL_SOCKET, SO_BUSY_POLL), wanted);
}
