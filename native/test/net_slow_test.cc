// Peers that send slowly, and buffers of the kernel that hold less than what is waited for.
#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kFrameBytes = 900'000;

/** Sends all of it in pieces with pauses, until the connection ends; how long the longest pause was, of which the machine makes what it likes. */
uint64_t trickle(Client& client, const std::vector<uint8_t>& bytes, size_t from, size_t piece, int pauseMs) {
  uint64_t longestMs = 0;
  for (; from < bytes.size(); from += piece) {
    uint64_t start = monotonicMs();
    std::this_thread::sleep_for(std::chrono::milliseconds(pauseMs));
    if (!client.send(bytes, from, from + piece)) break;
    longestMs = std::max(longestMs, monotonicMs() - start);
  }
  return longestMs;
}

/** SO_SNDBUF of the one connection that a server has, to a client at `from`. */
int sendBufferOf(const Options& options, const char* from) {
  Server server(options);
  server.start();
  Client client(server.port, from);
  client.send(frame(1, 1));
  CHECK_EQ(client.read().size(), 1u);  // it is prepared when it answers
  int found = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in own{};
    socklen_t size = sizeof own;
    bool here = getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 && own.sin_port == htons(server.port);
    size = sizeof own;
    if (!here || getpeername(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) continue;
    size = sizeof found;
    getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &found, &size);
  }
  return found;
}

}  // namespace

TEST(net_sends_within_the_machine_through_buffers_that_caches_hold) {
  Options limits = options(1);
  // The kernel doubles what is asked for, and has other sizes of its own.
  int near = 2 * static_cast<int>(limits.nearSendBufferBytes);
  CHECK_EQ(sendBufferOf(limits, "127.0.0.1"), near);
  CHECK(sendBufferOf(limits, "127.0.0.2") != near);
  limits.nearSendBufferBytes = 0;
  CHECK(sendBufferOf(limits, "127.0.0.1") != near);
  limits.sendBufferBytes = 100'000;
  CHECK_EQ(sendBufferOf(limits, "127.0.0.1"), 200'000);
  limits.nearSendBufferBytes = 50'000;
  CHECK_EQ(sendBufferOf(limits, "127.0.0.1"), 200'000);
}

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
  std::vector<uint8_t> sent = frame(kFrameBytes, 1);
  for (uint64_t pausedMs = limits.idleMs; pausedMs >= limits.idleMs / 2;) {
    Server server(limits);
    server.start();
    Client slow(server.port);
    CHECK(slow.send(sent, 0, kFrameBytes / 2));
    pausedMs = trickle(slow, sent, kFrameBytes / 2, kFrameBytes / 40, 60);
    // On a machine that stops this thread for so long it has been idle.
    if (pausedMs >= limits.idleMs / 2) continue;
    CHECK(slow.read() == std::vector<uint8_t>(kFrameBytes, 1));
    CHECK(slow.ended());
    server.waitForCloses(1);
    CHECK(server.closeReason(0) == CloseReason::kIdle);
  }
}

TEST(net_takes_no_memory_for_frames_of_peers_that_have_gone) {
  std::atomic<int> placed{0};  // it is looked for when memory is taken, and when all is there
  Options limits = options(1);
  limits.locateRecords = [&](const uint8_t*, size_t, size_t, FrameRecords*, size_t) -> size_t {
    ++placed;
    return 0;
  };
  limits.maxBytesPerConnection = 10;
  Server server(limits);
  std::atomic<uint64_t> asked{0};
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t, MemoryRef) { asked = connection; };
  server.start();
  // Longer than one that may have its memory at once, as it comes alone.
  std::vector<uint8_t> large = frame(1'500'000, 1);
  {
    Client atOnce(server.port);
    atOnce.send(large, 0, 100);
    Client later(server.port);
    later.send(large, 0, 60);
    WAIT_UNTIL(server.net().stats().receivedBytes == 160);
    later.send(large, 60, 200'000);
  }
  server.waitForCloses(2);
  // One that is not read from meanwhile, for it has a request that is not answered.
  {
    Client limited(server.port);
    limited.send(frame(20, 2));
    WAIT_UNTIL(asked != 0);
    limited.send(large, 0, 200'000);
  }
  server.reply(asked, large.data(), 10);
  server.waitForCloses(3);
  for (size_t i = 0; i < 2; ++i) CHECK(server.closeReason(i) == CloseReason::kTruncatedFrame);
  CHECK_EQ(placed.load(), 0);
  // The end does not hide what was sent before it.
  placed = 0;
  Client half(server.port);
  half.send(large);
  half.endSending();
  WAIT_UNTIL(placed == 2);
  server.end();
}

TEST(net_serves_what_is_there_however_many_send_slowly) {
  constexpr size_t kSlowBytes = 4'000'000;
  constexpr size_t kSlow = 6;
  Options limits = options(1);
  limits.maxInFlightBytes = 16'000'000;
  Server server(limits);
  server.start();
  std::vector<uint8_t> sent = frame(kSlowBytes, 1);
  std::vector<std::unique_ptr<Client>> slow;
  for (size_t i = 0; i < kSlow; ++i) {
    slow.push_back(std::make_unique<Client>(server.port));
    CHECK(slow.back()->send(sent, 0, 1'000'000));
  }
  WAIT_UNTIL(server.net().stats().inFlightBytes == 3 * kSlowBytes);
  Client other(server.port);
  for (size_t length : {size_t{20}, size_t{50'000}, kFrameBytes}) {
    other.send(frame(length, 2));
    CHECK(other.read() == std::vector<uint8_t>(length, 2));
  }
  // What was answered is counted as such a moment later.
  WAIT_UNTIL(server.net().stats().inFlightBytes == 3 * kSlowBytes);
  // Who waits for its share has it when others have arrived, or have gone.
  slow.pop_back();
  slow.erase(slow.begin());
  for (auto& client : slow) {
    std::thread writer([&] { client->send(sent, 1'000'000); });
    CHECK(client->read() == std::vector<uint8_t>(kSlowBytes, 1));
    writer.join();
  }
  slow.clear();
  WAIT_UNTIL(server.net().stats().inFlightBytes == 0);
  // One that is larger than the limit, alone, leaves others their part, too.
  Client large(server.port);
  sent = frame(20'000'000, 3);
  CHECK(large.send(sent, 0, 1'000'000));
  WAIT_UNTIL(server.net().stats().inFlightBytes == 20'000'000);
  other.send(frame(kFrameBytes, 4));
  CHECK(other.read() == std::vector<uint8_t>(kFrameBytes, 4));
  std::thread writer([&] { large.send(sent, 1'000'000); });
  CHECK(large.read() == std::vector<uint8_t>(20'000'000, 3));
  writer.join();
  server.end();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_keeps_no_half_of_a_frame_when_a_connection_is_to_be_closed) {
  constexpr size_t kReplyBytes = 40'000'000;
  Options limits = options(1);
  Server server(limits);
  std::atomic<uint64_t> stuck{0};
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t, MemoryRef) {
    if (stuck == 0) {
      stuck = connection;
      server.reply(connection, nullptr, kReplyBytes, server.arena().allocate(kReplyBytes));
      return;
    }
    CommandBatch batch;
    Command close;
    close.kind = Command::Kind::kClose;
    close.connection = stuck;
    batch.commands.push_back(std::move(close));
    server.net().reactor(0).submit(batch);
  };
  server.start();
  // It reads nothing of its reply.
  Client client(server.port);
  client.send(frame(10, 1));
  WAIT_UNTIL(stuck != 0);
  client.send(frame(4'000'000, 1), 0, 1'000'000);
  WAIT_UNTIL(server.net().stats().inFlightBytes == 4'000'010);
  Client other(server.port);
  other.send(frame(20, 1));
  WAIT_UNTIL(server.net().stats().inFlightBytes == 30);
  CHECK_EQ(server.closes(), 0u);
  std::vector<uint8_t> reply = client.read();
  CHECK_EQ(reply.size(), kReplyBytes);
  CHECK(client.ended());
  server.end();
}
