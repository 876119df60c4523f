// Peers that send slowly, and buffers of the kernel that hold less than what is waited for.
#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kFrameBytes = 900'000;

/** Sends all of it in pieces with pauses. */
bool trickle(Client& client, const std::vector<uint8_t>& bytes, size_t from, size_t piece, int pauseMs) {
  for (; from < bytes.size(); from += piece) {
    if (!client.send(bytes, from, from + piece)) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(pauseMs));
  }
  return true;
}

}  // namespace

TEST(net_receives_large_frames_through_small_buffers) {
  for (uint32_t bufferBytes : {2'000u, 20'000u, 150'000u, 1u << 20, 0u}) {
    Options limits = options(1);
    limits.receiveBufferBytes = bufferBytes;
    Server server(limits);
    server.start();
    Client client(server.port);
    for (size_t length : {size_t{40'000}, kFrameBytes, size_t{3'000'000}, size_t{5'000'000}}) {
      std::vector<uint8_t> sent = frame(length, 6);
      std::thread writer([&] { client.send(sent); });
      std::vector<uint8_t> echoed = client.read();
      writer.join();
      CHECK(echoed == std::vector<uint8_t>(length, 6));
    }
  }
}

TEST(net_does_not_take_who_sends_slowly_for_idle) {
  Options limits = options(1);
  limits.idleMs = 400;
  Server server(limits);
  server.start();
  Client slow(server.port);
  std::vector<uint8_t> sent = frame(kFrameBytes, 1);
  CHECK(slow.send(sent, 0, kFrameBytes / 2));
  CHECK(trickle(slow, sent, kFrameBytes / 2, kFrameBytes / 40, 60));
  CHECK(slow.read() == std::vector<uint8_t>(kFrameBytes, 1));
  CHECK(slow.ended());
  server.waitForCloses(1);
  CHECK(server.closeReason(0) == CloseReason::kIdle);
}
