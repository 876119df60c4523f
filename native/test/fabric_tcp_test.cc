// Peers of the transport over TCP that do not keep to its protocol, and a process without descriptors.
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <ctime>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "fabric/tcp_transport.h"
#include "store/descriptor.h"
#include "test/fabric_fixture.h"

using namespace kafabric;
using namespace kafabric::fabric;
using namespace kafabric::test;
using namespace std::chrono_literals;

namespace {

/** More than the kernel's buffers take. */
constexpr size_t kBytes = size_t{64} << 20;

BulkLimits onePiece() {
  BulkLimits limits;
  limits.pieceBytes = kBytes;
  return limits;
}

/** A target by hand, which says what it is told to. */
class HandMade {
 public:
  explicit HandMade(const std::string& offer) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    CHECK(TcpAddress::decode(offer, false, address_));
    timeval limit{60, 0};
    ::setsockopt(socket_.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  void connect() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(address_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(::connect(socket_.fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  void greet() {
    send({FrameKind::kHello, 0, address_.ticket[0], address_.ticket[1], kTcpMagic, 0});
    CHECK(receive().kind == FrameKind::kWelcome);
  }
  /** Connects, and has the store add it. */
  PeerId attach(Store& store) {
    connect();
    greet();
    PeerId peer = 0;
    std::string answer = TcpAddress{address_.ticket, 0, {}, {}}.encode();
    CHECK_EQ(waitFor([&](Transport::Done done) { peer = store.transport->addPeer(answer, done); }).message, "");
    return peer;
  }
  void send(const Frame& frame) {
    CHECK_EQ(::send(socket_.fd, &frame, sizeof(frame), MSG_NOSIGNAL), static_cast<ssize_t>(sizeof(frame)));
  }
  /** Without what follows it. */
  Frame receive() {
    Frame frame{};
    CHECK_EQ(::recv(socket_.fd, &frame, sizeof(frame), MSG_WAITALL), static_cast<ssize_t>(sizeof(frame)));
    return frame;
  }
  /** Says of what is asked for first that it was written, without having taken it. */
  void pretendToWrite() {
    Frame asked = receive();
    CHECK(asked.kind == FrameKind::kWrite);
    send({FrameKind::kWriteAnswer, 0, asked.operation, 0, 0, 0});
  }

 private:
  Descriptor socket_;
  TcpAddress address_;
};

/** While it lives this process gets no descriptors. */
class NoDescriptors {
 public:
  NoDescriptors() {
    CHECK_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    {
      Descriptor next(::dup(STDERR_FILENO));
      CHECK(next.fd >= 0);
      none.rlim_cur = static_cast<rlim_t>(next.fd);
    }
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST(fabric_plain_tcp_has_no_piece_answered_before_it_has_left) {
  Store store(kTcpTransportName, kBytes, onePiece());
  HandMade target(store.transport->offer());
  auto pending = store.start(Direction::kWrite, target.attach(store), {{store.memory.data(), kBytes, 0, 1}});
  target.pretendToWrite();
  CHECK_EQ(pending.done.get().error, ECONNRESET);
}

TEST(fabric_plain_tcp_bare_loop_has_no_piece_answered_before_it_has_left) {
  Store store(kTcpTransportName, kBytes, onePiece());
  auto loop = store.transport->bareLoop();
  std::string offer;
  CHECK_EQ(loop->open(offer).message, "");
  HandMade target(offer);
  target.connect();
  target.greet();
  CHECK_EQ(loop->connect({}).message, "");
  auto pretending = std::async(std::launch::async, [&] { target.pretendToWrite(); });
  BareLoad load;
  load.direction = Direction::kWrite;
  load.range = {store.memory.data(), kBytes, 0, 1};
  load.pieceBytes = kBytes;
  BareResult result;
  CHECK_EQ(loop->run(load, result).error, ECONNRESET);
  pretending.get();
}

TEST(fabric_plain_tcp_serves_others_beside_peers_that_do_not_answer) {
  constexpr size_t kPiece = 4096;
  BulkLimits limits;
  limits.pieceBytes = kPiece;
  Store store(kTcpTransportName, 16 * kPiece, limits);
  Target healthy(*store.transport, kPiece);
  std::vector<std::unique_ptr<HandMade>> silent;
  for (int i = 0; i < 16; ++i) {
    silent.push_back(std::make_unique<HandMade>(store.transport->offer()));
    store.start(Direction::kRead, silent.back()->attach(store), {{store.memory.data(), 16 * kPiece, 0, 1}});
  }
  CHECK_EQ(store.transfer(Direction::kRead, healthy.peer, {healthy.range(store.memory.data(), kPiece, 0)}, 10s).message, "");
}

TEST(fabric_plain_tcp_rests_while_there_are_no_descriptors) {
  auto transport = openTransport(kTcpTransportName);
  HandMade target(transport->offer());
  {
    NoDescriptors none;
    target.connect();
    std::clock_t before = std::clock();
    std::this_thread::sleep_for(500ms);
    CHECK(std::clock() - before < CLOCKS_PER_SEC / 10);
  }
  target.greet();
  transport->stop();
}
