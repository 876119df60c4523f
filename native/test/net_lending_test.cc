// Sockets that are lent to the consumer's thread, and replies that it sends itself.
#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

void roundTrip(Client& client, size_t length, uint8_t fill) {
  client.send(frame(length, fill));
  CHECK(client.read() == std::vector<uint8_t>(length, fill));
}

/** Small round trips until the reactor has lent its sockets. */
void untilLent(Server& server, Client& client) {
  for (int i = 0; i < 100'000 && !server.net().reactor(0).lent(); ++i) roundTrip(client, 20, 1);
  CHECK(server.net().reactor(0).lent());
}

}  // namespace

TEST(net_lends_its_sockets_and_takes_them_back_for_large_frames) {
  Server server(options(1));
  std::atomic<int> lentWhenLarge{0};
  server.onFrame = [&](uint64_t connection, const uint8_t* data, size_t length, MemoryRef memory) {
    if (memory && server.net().reactor(0).lent()) ++lentWhenLarge;
    server.reply(connection, data, length, std::move(memory));
  };
  server.start();
  Client client(server.port);
  for (int round = 0; round < 5; ++round) {
    untilLent(server, client);
    roundTrip(client, 3'000'000, 2);
    Client second(server.port);
    untilLent(server, client);
    roundTrip(second, 100, 3);
  }
  CHECK_EQ(lentWhenLarge.load(), 0);
  server.end();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_hands_over_large_frames_that_were_read_with_small_ones) {
  Server server(options(1));
  server.start();
  Client client(server.port);
  for (int round = 0; round < 20; ++round) {
    untilLent(server, client);
    std::vector<uint8_t> together;
    for (size_t length : {10, 40'000, 20, 33'000, 30}) {
      std::vector<uint8_t> one = frame(length, 5);
      together.insert(together.end(), one.begin(), one.end());
    }
    client.send(together);
    for (size_t length : {10, 40'000, 20, 33'000, 30}) CHECK_EQ(client.read().size(), length);
  }
}

TEST(net_finishes_large_frames_that_were_read_in_one_piece_while_lent) {
  Server server(options(1));
  server.start();
  Client client(server.port);
  for (uint8_t round = 0; round < 5; ++round) {
    untilLent(server, client);
    roundTrip(client, 50'000, round);
    untilLent(server, client);
    std::vector<uint8_t> both = frame(50'000, 8);
    std::vector<uint8_t> small = frame(20, 9);
    both.insert(both.end(), small.begin(), small.end());
    client.send(both);
    CHECK(client.read() == std::vector<uint8_t>(50'000, 8));
    CHECK(client.read() == std::vector<uint8_t>(20, 9));
  }
}

TEST(net_hands_over_all_that_the_last_read_of_a_turn_holds) {
  Server server(options(1));
  server.start();
  for (size_t count : {20, 21, 22, 40, 41}) {
    Client client(server.port);
    std::vector<uint8_t> all;
    for (size_t i = 0; i < count; ++i) {
      for (size_t length : {50'000, 20}) {
        std::vector<uint8_t> one = frame(length, static_cast<uint8_t>(i));
        all.insert(all.end(), one.begin(), one.end());
      }
    }
    std::thread writer([&] { client.send(all); });
    for (size_t i = 0; i < count; ++i) {
      CHECK(client.read() == std::vector<uint8_t>(50'000, static_cast<uint8_t>(i)));
      CHECK(client.read() == std::vector<uint8_t>(20, static_cast<uint8_t>(i)));
    }
    writer.join();
  }
}

TEST(net_sends_replies_in_the_order_in_which_they_were_given) {
  Server server(options(1));
  uint64_t waiting = 0;
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t length, MemoryRef) {
    if (length == 1) {
      waiting = connection;
      return;
    }
    // The one that waited first: of memory, which is sent otherwise than bytes.
    CommandBatch batch;
    batch.bytes.resize(100);
    MemoryRef memory = server.arena().allocate(100);
    CHECK(memory);
    Command first;
    first.kind = Command::Kind::kMemory;
    first.connection = waiting;
    first.length = 100;
    first.memory = std::move(memory);
    first.endsReply = true;
    batch.commands.push_back(std::move(first));
    Command second;
    second.connection = connection;
    second.length = 100;
    second.endsReply = true;
    batch.commands.push_back(std::move(second));
    server.net().reactor(0).submit(batch);
  };
  server.start();
  Client waiter(server.port);
  Client other(server.port);
  waiter.noteArrivals();
  other.noteArrivals();
  std::vector<uint8_t> reply(100);
  int noted = 0;
  WAIT_UNTIL([&] {
    waiter.send(frame(1, 1));
    WAIT_UNTIL(server.net().stats().inFlightBytes == 1);
    other.send(frame(2, 1));
    int64_t second = other.readArrival(reply);
    int64_t first = waiter.readArrival(reply);
    WAIT_UNTIL(server.net().stats().inFlightBytes == 0);
    if (first == 0 || second == 0) return false;
    CHECK(first < second);
    return ++noted == 200;
  }());
  server.end();
}

TEST(net_takes_its_sockets_back_when_a_peer_does_not_read) {
  Server server(options(1));
  std::vector<uint8_t> large(8 << 20, 7);
  server.onFrame = [&](uint64_t connection, const uint8_t* data, size_t length, MemoryRef) {
    bool wantsMore = data[0] == 1;
    server.reply(connection, wantsMore ? large.data() : data, wantsMore ? large.size() : length);
  };
  server.start();
  Client slow(server.port);
  Client other(server.port);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100'000 && !server.net().reactor(0).lent(); ++i) roundTrip(other, 20, 2);
    slow.send(frame(10, 1));
    for (uint8_t i = 2; i < 40; ++i) slow.send(frame(10, i));
    roundTrip(other, 20, 2);  // served while the other one is stuck
    CHECK(slow.read() == large);
    for (uint8_t i = 2; i < 40; ++i) CHECK(slow.read() == std::vector<uint8_t>(10, i));
  }
}

TEST(net_keeps_its_timers_while_its_sockets_are_lent) {
  Options limits = options(1);
  limits.idleMs = 300;
  Server server(limits);
  server.start();
  {
    Client client(server.port);
    untilLent(server, client);
    Client late(server.port);  // opened by the consumer's thread
    CHECK(late.ended());
    CHECK(client.ended());
  }
  server.waitForCloses(2);
  CHECK(server.closeReason(0) == CloseReason::kIdle);
  CHECK(server.closeReason(1) == CloseReason::kIdle);
}

TEST(net_drains_and_stops_while_its_sockets_are_lent) {
  for (bool drain : {true, false}) {
    Server server(options(1));
    server.start();
    Client client(server.port);
    untilLent(server, client);
    if (drain) {
      server.net().drain(monotonicMs() + 10'000);
      CHECK(client.ended());
      WAIT_UNTIL(server.drained == 1);
    }
    server.end();
    CHECK(client.ended());
  }
}

TEST(net_survives_resets_while_its_sockets_are_lent) {
  Server server(options(1));
  server.start();
  Client steady(server.port);
  for (int i = 0; i < 100; ++i) {
    untilLent(server, steady);
    Client vanishing(server.port);
    roundTrip(vanishing, 10, 1);
    for (int more = 0; more < 5; ++more) vanishing.send(frame(100, 2));
    vanishing.reset();
    roundTrip(steady, 10, 3);
  }
  server.waitForCloses(100);
  WAIT_UNTIL(server.net().stats().connections == 1);
  WAIT_UNTIL(server.net().stats().inFlightBytes == 0);  // counted down after the answer has left
}

TEST(net_starves_neither_small_requests_nor_large_frames) {
  Server server(options(1), 256 << 20);
  server.start();
  constexpr int kSmall = 24;
  constexpr int kLarge = 4;
  std::atomic<int> unfinished{kSmall + kLarge};
  std::vector<std::thread> clients;
  // Everyone goes on until all have got their share beside the others.
  auto run = [&](size_t length, int share) {
    Client client(server.port);
    for (int done = 0; unfinished > 0; ++done) {
      roundTrip(client, length, static_cast<uint8_t>(done));
      if (done == share) --unfinished;
    }
  };
  for (int i = 0; i < kSmall; ++i) clients.emplace_back(run, size_t{200}, 100);
  for (int i = 0; i < kLarge; ++i) clients.emplace_back(run, size_t{2} << 20, 5);
  for (auto& client : clients) client.join();
  CHECK_EQ(unfinished.load(), 0);
}

TEST(net_shares_connections_evenly_among_reactors) {
  Server server(options(4));
  server.start();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Client>(server.port));
    roundTrip(*clients.back(), 10, 1);
  }
  for (size_t i = 0; i < 4; ++i) CHECK_EQ(server.net().reactor(i).stats().connections.load(), 10u);
  // Those who go leave room that the next ones take.
  for (size_t i = 0; i < 40; i += 2) clients[i].reset();
  server.waitForCloses(20);
  for (size_t i = 0; i < 40; i += 2) {
    clients[i] = std::make_unique<Client>(server.port);
    roundTrip(*clients[i], 10, 1);
  }
  for (size_t i = 0; i < 4; ++i) CHECK_EQ(server.net().reactor(i).stats().connections.load(), 10u);
}
