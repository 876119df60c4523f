// The network part with real sockets.
#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

TEST(net_echoes_frames_of_all_sizes_in_order_however_they_are_cut) {
  Server server(options());
  server.start();
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  for (uint32_t c = 0; c < 6; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(c);
      Client client(server.port);
      std::vector<std::pair<size_t, uint8_t>> sizes;
      std::vector<uint8_t> all;
      for (int i = 0; i < 120; ++i) {
        size_t size = random() % 3 == 0 ? random() % 200'000 : random() % 2 == 0 ? random() % 100 : random() % 40'000;
        auto fill = static_cast<uint8_t>(random());
        sizes.emplace_back(size, fill);
        std::vector<uint8_t> one = frame(size, fill);
        all.insert(all.end(), one.begin(), one.end());
      }
      std::thread writer([&, seed = c] {
        std::mt19937 cuts(seed + 100);
        for (size_t at = 0; at < all.size();) {
          size_t part = cuts() % 2 == 0 ? 1 + cuts() % 10 : 1 + cuts() % 300'000;
          client.send(all, at, at + part);
          at += part;
        }
      });
      for (auto [size, fill] : sizes) {
        if (client.read() != std::vector<uint8_t>(size, fill)) ++wrong;
      }
      writer.join();
    });
  }
  for (auto& client : clients) client.join();
  CHECK_EQ(wrong.load(), 0);
  server.waitForCloses(6);
  server.end();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_waits_for_arena_memory_and_goes_on) {
  // Room for two frames of the twelve that are on their way.
  Options limits = options();
  limits.maxFrameBytes = 400'000;
  Server server(limits, 1 << 20);
  std::mutex mutex;
  std::vector<std::thread> helpers;
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t, MemoryRef memory) {
    std::lock_guard lock(mutex);
    helpers.emplace_back([&server, connection, memory = std::move(memory)]() mutable {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      memory.reset();
      server.reply(connection, reinterpret_cast<const uint8_t*>("ok"), 2);
    });
  };
  server.start();
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int c = 0; c < 12; ++c) {
    clients.emplace_back([&] {
      Client client(server.port);
      for (int i = 0; i < 5; ++i) {
        client.send(frame(400'000, 1));
        if (client.read().size() == 2) ++answered;
      }
    });
  }
  for (auto& client : clients) client.join();
  CHECK_EQ(answered.load(), 60);
  server.end();
  for (auto& helper : helpers) helper.join();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_closes_who_stalls_in_a_large_frame_while_others_wait) {
  Options limits = options(1);
  limits.maxFrameBytes = 1'200'000;
  limits.stalledFrameMs = 50;
  Server server(limits, 3 << 19);
  server.start();
  Client stalled(server.port);
  stalled.send(frame(1'200'000, 1), 0, 700'000);
  WAIT_UNTIL(server.arena().stats().used > 0);
  Client waiting(server.port);
  waiting.send(frame(1'200'000, 2));
  CHECK_EQ(waiting.read().size(), 1'200'000u);
  CHECK(stalled.ended());
  server.waitForCloses(1);
  CHECK(server.closeReason(0) == CloseReason::kStalledFrame);
}

TEST(net_takes_no_memory_for_a_frame_of_which_little_is_there) {
  Options limits = options(1);
  limits.maxFrameBytes = 900'000;
  Server server(limits, 2 << 20);
  server.start();
  // One that comes alone is copied while it is sent.
  Client alone(server.port);
  alone.send(frame(900'000, 5), 0, 100'000);
  WAIT_UNTIL(server.arena().stats().used > 0 && server.net().stats().receivedBytes > 0);
  size_t used = server.arena().stats().used;
  uint64_t received = server.net().stats().receivedBytes;
  Client slow(server.port);
  slow.send(frame(900'000, 1), 0, 100'000);
  WAIT_UNTIL(server.net().stats().receivedBytes > received);
  CHECK_EQ(server.arena().stats().used, used);
  Client other(server.port);
  other.send(frame(900'000, 2));
  CHECK_EQ(other.read().size(), 900'000u);
  slow.send(frame(900'000, 1), 100'000, 900'004);
  CHECK(slow.read() == std::vector<uint8_t>(900'000, 1));
  alone.send(frame(900'000, 5), 100'000, 900'004);
  CHECK(alone.read() == std::vector<uint8_t>(900'000, 5));
  // The beginning of the next one, large or small, comes with the end of the one before.
  std::vector<uint8_t> both = frame(900'000, 3);
  for (size_t length : {size_t{10}, size_t{700'000}}) {
    std::vector<uint8_t> next = frame(length, 4);
    both.insert(both.end(), next.begin(), next.end());
  }
  slow.send(both);
  for (size_t length : {900'000u, 10u, 700'000u}) CHECK_EQ(slow.read().size(), length);
  server.end();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_copies_frames_that_come_alone_again_after_others) {
  Options limits = options(1);
  limits.maxFrameBytes = 900'000;
  Server server(limits, 2 << 20);
  server.start();
  for (int round = 0; round < 3; ++round) {
    Client ended(server.port);
    Client gone(server.port);
    for (Client* client : {&ended, &gone}) {
      WAIT_UNTIL(server.arena().stats().used == 0);
      client->send(frame(900'000, 1), 0, 100'000);
      WAIT_UNTIL(server.arena().stats().used > 0);
      if (client == &gone) break;
      client->send(frame(900'000, 1), 100'000, 900'004);
      CHECK_EQ(client->read().size(), 900'000u);
    }
    gone.reset();
  }
  WAIT_UNTIL(server.arena().stats().used == 0);
}

TEST(net_holds_back_when_nobody_collects) {
  Options limits = options(1);
  limits.maxRequestsPerConnection = 1 << 20;
  Server server(limits);
  std::atomic<size_t> seen{0};
  std::atomic<bool> ordered{true};
  server.onFrame = [&](uint64_t connection, const uint8_t* data, size_t length, MemoryRef) {
    if (length < 4 || (uint32_t{data[0]} << 24 | uint32_t{data[1]} << 16 | uint32_t{data[2]} << 8 | data[3]) != seen) {
      ordered = false;
    }
    ++seen;
    server.reply(connection, data, 4);
  };
  Client client(server.port);
  constexpr uint32_t kFrames = 20'000;  // 8 MB: more than the inbox and its events hold
  std::thread writer([&] {
    for (uint32_t i = 0; i < kFrames; ++i) {
      std::vector<uint8_t> one;
      put32(one, 400);
      put32(one, i);
      one.resize(404);
      client.send(one);
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(server.net().reactor(0).stats().frames.load() <= Inbox::kEvents);
  server.start();
  for (uint32_t i = 0; i < kFrames; ++i) CHECK_EQ(client.read().size(), 4u);
  writer.join();
  CHECK(ordered);
  CHECK_EQ(seen.load(), size_t{kFrames});
}

TEST(net_survives_clients_that_vanish) {
  Server server(options());
  server.start();
  std::vector<std::thread> clients;
  for (uint32_t c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 50; ++i) {
        Client client(server.port);
        std::vector<uint8_t> bytes = frame(random() % 100'000, 1);
        std::vector<uint8_t> more = frame(random() % 100'000, 2);
        bytes.insert(bytes.end(), more.begin(), more.end());
        client.send(bytes, 0, random() % bytes.size());
        if (random() % 2 == 0) client.reset();
      }
    });
  }
  for (auto& client : clients) client.join();
  server.waitForCloses(200);
  CHECK_EQ(server.net().stats().connections, 0u);
  // The reactor's next turn lets go of what a connection had that was closed by who answered it.
  WAIT_UNTIL(server.net().stats().inFlightBytes == 0);
  server.end();
  CHECK_EQ(server.arena().stats().used, 0u);
}

TEST(net_drains_at_once_where_nothing_is_to_be_answered) {
  constexpr uint64_t kDeadlineMs = 250'000;
  Server server(options());
  std::atomic<uint64_t> asked{0};
  server.onFrame = [&](uint64_t connection, const uint8_t*, size_t, MemoryRef) { asked = connection; };
  server.start();
  Client idle(server.port);
  Client answered(server.port);
  Client partial(server.port);
  answered.send(frame(10, 1));
  partial.send(frame(100'000, 1), 0, 50'000);
  WAIT_UNTIL(asked != 0 && server.net().stats().connections == 3);
  uint64_t start = monotonicMs();
  server.net().drain(start + kDeadlineMs);
  CHECK(idle.ended());
  CHECK(partial.ended());
  server.reply(asked, reinterpret_cast<const uint8_t*>("ok"), 2);
  CHECK_EQ(answered.read().size(), 2u);
  CHECK(answered.ended());
  server.waitForCloses(3);
  WAIT_UNTIL(server.drained == 2);
  CHECK(monotonicMs() - start < kDeadlineMs);
}

TEST(net_drains_within_the_deadline) {
  Server server(options());
  std::atomic<int> seen{0};
  server.onFrame = [&](uint64_t, const uint8_t*, size_t, MemoryRef) { ++seen; };
  server.start();
  Client unanswered(server.port);
  unanswered.send(frame(10, 1));
  WAIT_UNTIL(seen == 1);
  uint64_t start = monotonicMs();
  server.net().drain(start + 200);
  CHECK(unanswered.ended());
  server.waitForCloses(1);
  WAIT_UNTIL(server.drained == 2);
  CHECK(monotonicMs() - start >= 200);
}

TEST(net_stops_with_connections_and_memory_in_use) {
  MemoryRef kept;
  std::atomic<bool> received{false};
  Server server(options());
  server.onFrame = [&](uint64_t, const uint8_t*, size_t, MemoryRef memory) {
    kept = std::move(memory);
    received = true;
  };
  server.start();
  Client client(server.port);
  client.send(frame(100'000, 7));
  Client other(server.port);
  other.send(frame(100'000, 7), 0, 1000);
  WAIT_UNTIL(received);
  server.end();
  CHECK(kept);
  CHECK_EQ(kept.data()[99'999], 7);
  server.reply(1, nullptr, 0);
  kept.reset();  // before its arena goes
}

TEST(net_accepts_at_every_listener_whatever_comes_to_another) {
  constexpr size_t kMany = 200;
  Options options;
  options.backlog = 1000;
  options.maxConnectionsPerIp = UINT32_MAX;
  Limits limits(options);
  std::mutex mutex;
  std::condition_variable changed;
  bool goesOn = false;
  std::vector<uint32_t> order;
  Acceptor acceptor(options, limits, {[&](Accepted accepted) {
    ::close(accepted.fd);
    std::unique_lock lock(mutex);
    order.push_back(accepted.listener);
    changed.notify_all();
    changed.wait(lock, [&] { return goesOn; });
  }, [](uint32_t, const std::string&) {}});
  auto busy = acceptor.listen("127.0.0.1", 0);
  auto quiet = acceptor.listen("127.0.0.1", 0);
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kMany; ++i) clients.push_back(std::make_unique<Client>(busy.port));
  clients.push_back(std::make_unique<Client>(quiet.port));
  std::unique_lock lock(mutex);
  goesOn = true;
  changed.notify_all();
  changed.wait(lock, [&] { return order.size() == clients.size(); });
  CHECK(order.back() == busy.listener);
}
