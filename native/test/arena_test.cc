#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "arena/arena.h"
#include "test/test.h"

using kafabric::Arena;
using kafabric::GranuleTree;
using kafabric::MemoryRef;

TEST(granule_tree_agrees_with_a_plain_bitmap) {
  std::mt19937 random(1);
  for (uint32_t granules : {1u, 2u, 7u, 64u, 1000u}) {
    GranuleTree tree(granules);
    std::vector<bool> used(granules);
    std::vector<std::pair<uint32_t, uint32_t>> held;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 2 == 0 || held.empty()) {
        uint32_t count = 1 + random() % std::max(1u, granules / 8);
        uint32_t expected = GranuleTree::kNone;
        for (uint32_t start = 0, run = 0; start < granules; ++start) {
          run = used[start] ? 0 : run + 1;
          if (run == count) {
            expected = start + 1 - count;
            break;
          }
        }
        CHECK_EQ(tree.find(count), expected);
        if (expected == GranuleTree::kNone) continue;
        tree.mark(expected, count, true);
        for (uint32_t i = 0; i < count; ++i) used[expected + i] = true;
        held.emplace_back(expected, count);
      } else {
        size_t pick = random() % held.size();
        auto [start, count] = held[pick];
        held.erase(held.begin() + static_cast<long>(pick));
        tree.mark(start, count, false);
        for (uint32_t i = 0; i < count; ++i) used[start + i] = false;
      }
    }
  }
}

TEST(arena_reuses_the_lowest_range) {
  Arena arena(1 << 20);
  MemoryRef first = arena.allocate(5000);
  MemoryRef second = arena.allocate(1);
  CHECK_EQ(first.offset(), 0u);
  CHECK_EQ(second.offset(), 8192u);
  first.reset();
  CHECK_EQ(arena.allocate(4096).offset(), 0u);
  CHECK_EQ(arena.stats().used, 4096u);
}

TEST(arena_refuses_when_full_and_tells_subscribers_once) {
  Arena arena(1 << 20);
  int freed = 0;
  int subscription = arena.subscribe([&] { ++freed; });
  MemoryRef all = arena.allocate(1 << 20);
  CHECK(all);
  all.reset();
  CHECK_EQ(freed, 0);
  all = arena.allocate(1 << 20);
  CHECK(!arena.allocate(1));
  CHECK(!arena.allocate(size_t{1} << 40));
  CHECK(!arena.allocate(0));
  all.reset();
  CHECK_EQ(freed, 1);
  arena.allocate(1).reset();
  CHECK_EQ(freed, 1);
  arena.unsubscribe(subscription);
}

TEST(arena_handles_expire) {
  Arena arena(1 << 20);
  MemoryRef memory = arena.allocate(10);
  uint64_t handle = memory.handle();
  CHECK(arena.find(handle));
  MemoryRef copy = memory;
  memory.reset();
  CHECK(arena.find(handle));
  copy.reset();
  CHECK(!arena.find(handle));
  MemoryRef next = arena.allocate(10);
  CHECK(!arena.find(handle));
  CHECK(next.handle() != handle);
  CHECK(!arena.find(UINT64_MAX >> 11));
}

TEST(arena_is_thread_safe) {
  Arena arena(4 << 20);
  std::atomic<bool> corrupt{false};
  std::vector<std::thread> threads;
  for (uint32_t id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      std::mt19937 random(id);
      std::vector<MemoryRef> held;
      for (int step = 0; step < 5000; ++step) {
        MemoryRef memory = arena.allocate(1 + random() % 50000);
        if (memory) {
          *reinterpret_cast<uint32_t*>(memory.data()) = id;
          if (!arena.find(memory.handle())) corrupt = true;
          held.push_back(std::move(memory));
        }
        if (held.size() > 20 || !memory) {
          for (auto& one : held) {
            if (*reinterpret_cast<uint32_t*>(one.data()) != id) corrupt = true;
          }
          held.clear();
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(!corrupt);
  CHECK_EQ(arena.stats().used, 0u);
}
