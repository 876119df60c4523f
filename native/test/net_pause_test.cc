// Connections that are not read from for a while, replies that are heard of, and peers that do not take them.
#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

void command(Server& server, uint64_t connection, Command::Kind kind) {
  CommandBatch batch;
  Command one;
  one.kind = kind;
  one.connection = connection;
  batch.commands.push_back(std::move(one));
  server.net().reactor(server.net().reactorOf(connection)).submit(batch);
}

/** A reply of so many bytes of arena memory, whose end is reported. */
void reportedReply(Server& server, uint64_t connection, size_t length) {
  CommandBatch batch;
  Command one;
  one.kind = Command::Kind::kMemory;
  one.connection = connection;
  one.memory = server.arena().allocate(length);
  one.length = length;
  one.endsReply = true;
  one.reports = true;
  batch.commands.push_back(std::move(one));
  server.net().reactor(server.net().reactorOf(connection)).submit(batch);
}

}  // namespace

TEST(net_starts_no_frame_of_a_paused_connection_until_it_goes_on) {
  Options limits = options(1);
  limits.maxInFlightBytes = 300'000;
  Server server(limits);
  std::atomic<int> paused{0};
  std::atomic<int> frames{0};
  std::atomic<uint64_t> held{0};
  server.onFrame = [&](uint64_t connection, const uint8_t* data, size_t length, MemoryRef memory) {
    ++frames;
    if (data[0] == 1 && paused.fetch_add(1) == 0) {
      held = connection;
      command(server, connection, Command::Kind::kPause);
    }
    server.reply(connection, data, 1);
    (void)length;
    (void)memory;
  };
  server.start();
  Client first(server.port);
  first.send(frame(100'000, 1));
  CHECK_EQ(first.read().size(), 1u);
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) first.send(frame(100'000, 1));
  });
  // Others are served meanwhile: what is not read takes nothing of what all share.
  Client other(server.port);
  for (int i = 0; i < 50; ++i) {
    other.send(frame(100'000, 2));
    CHECK_EQ(other.read().size(), 1u);
  }
  CHECK_EQ(frames.load(), 51);
  command(server, held, Command::Kind::kResume);
  for (int i = 0; i < 20; ++i) CHECK_EQ(first.read().size(), 1u);
  writer.join();
  server.end();
}

TEST(net_notices_that_the_peer_of_a_paused_connection_has_gone) {
  Server server(options(1));
  server.onFrame = [&](uint64_t connection, const uint8_t* data, size_t, MemoryRef) {
    command(server, connection, Command::Kind::kPause);
    server.reply(connection, data, 1);
  };
  server.start();
  {
    Client client(server.port);
    client.send(frame(10, 1));
    CHECK_EQ(client.read().size(), 1u);  // it is paused by now
  }
  server.waitForCloses(1);
  CHECK(server.closeReason(0) == CloseReason::kPeerClosed);
  server.end();
}

TEST(net_serves_what_the_peer_of_a_paused_connection_has_sent_before_it_ended) {
  Server server(options(1));
  std::atomic<uint64_t> held{0};
  std::atomic<int> frames{0};
  server.onFrame = [&](uint64_t connection, const uint8_t* data, size_t, MemoryRef) {
    ++frames;
    if (data[0] != 1) return;  // what is not answered cannot be refused by the peer's end
    command(server, connection, Command::Kind::kPause);
    held = connection;
    server.reply(connection, data, 1);
  };
  server.start();
  {
    Client client(server.port);
    client.send(frame(10, 1));
    CHECK_EQ(client.read().size(), 1u);
    for (int i = 0; i < 3; ++i) client.send(frame(1'000, 2));
  }
  CHECK_EQ(frames.load(), 1);
  command(server, held, Command::Kind::kResume);
  server.waitForCloses(1);
  CHECK_EQ(frames.load(), 4);
  CHECK(server.closeReason(0) == CloseReason::kPeerClosed);
  server.end();
}

TEST(net_reports_when_a_reply_has_been_sent) {
  Server server(options(1));
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t, MemoryRef) { reportedReply(server, connection, 20'000'000); };
  server.start();
  Client client(server.port);
  client.send(frame(10, 1));
  client.send(frame(10, 1));
  std::vector<uint8_t> some(40'000'000);
  client.readExactly(some);
  WAIT_UNTIL(server.sent.load() == 2);
  server.end();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_closes_who_takes_nothing_of_a_reported_reply) {
  Options limits = options(1);
  limits.stalledReplyMs = 50;
  Server server(limits);
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t, MemoryRef) { reportedReply(server, connection, 40'000'000); };
  server.start();
  Client client(server.port);
  client.send(frame(10, 1));
  server.waitForCloses(1);
  CHECK(server.closeReason(0) == CloseReason::kReplyNotTaken);
  CHECK_EQ(server.sent.load(), 0u);
  WAIT_UNTIL(server.arena().stats().used == 0);
}

TEST(net_expects_records_once_there_is_memory_for_them) {
  Options limits = options(1);
  limits.maxFrameBytes = 600'000;
  limits.largeFrameBytes = 1000;
  std::atomic<int> located{0};
  limits.locateRecords = [&](const uint8_t*, size_t, size_t length, FrameRecords* found, size_t most) {
    ++located;
    *found = {1, 100, length - 100};
    return std::min<size_t>(most, 1);
  };
  Server server(limits, 1 << 20);
  std::mutex mutex;
  std::vector<MemoryRef> kept;
  std::atomic<size_t> frames{0};
  server.onFrame = [&](uint64_t, const uint8_t*, size_t, MemoryRef memory) {
    std::lock_guard lock(mutex);
    if (memory) kept.push_back(std::move(memory));
    ++frames;
  };
  auto expected = [&] { return size_t{server.arena().guesses().guess(1, 100, 1).position}; };
  server.start();
  Client first(server.port);
  first.send(frame(600'000, 1));
  WAIT_UNTIL(frames == 1);
  size_t end = 599'900;
  CHECK_EQ(expected(), end % AppendGuesses::kUnitBytes);
  Client second(server.port);
  second.send(frame(600'000, 1));
  int before = located.load();
  WAIT_UNTIL(located.load() > before);
  // Each notification lets the reactor look for room again.
  for (int i = 0; i < 20; ++i) {
    server.net().reactor(0).notify();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK_EQ(expected(), end % AppendGuesses::kUnitBytes);
  // Small ones are appended, too.
  first.send(frame(500, 2));
  WAIT_UNTIL(frames == 2);
  end += 400;
  CHECK_EQ(expected(), end % AppendGuesses::kUnitBytes);
  {
    std::lock_guard lock(mutex);
    kept.clear();
  }
  WAIT_UNTIL(frames == 3);
  end += 599'900;
  CHECK_EQ(expected(), end % AppendGuesses::kUnitBytes);
  {
    std::lock_guard lock(mutex);
    kept.clear();
  }
  server.end();
}
