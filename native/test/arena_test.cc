#include <atomic>
#include <cmath>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "arena/arena.h"
#include "test/test.h"

using kafabric::Arena;
using kafabric::GranuleTree;
using kafabric::MemoryRef;

namespace {

/** The ranges in use, to see that no two overlap. */
struct Ranges {
  std::map<size_t, size_t> ends;  // by offset

  void add(const MemoryRef& memory) {
    size_t end = memory.offset() + memory.size();
    auto next = ends.lower_bound(memory.offset());
    CHECK(next == ends.end() || next->first >= end);
    CHECK(next == ends.begin() || std::prev(next)->second <= memory.offset());
    ends.emplace_hint(next, memory.offset(), end);
  }
  void remove(const MemoryRef& memory) { CHECK_EQ(ends.erase(memory.offset()), 1u); }
};

/** Ranges that are only cached, given way oldest first, as a store does. */
struct Cache {
  Ranges* inUse = nullptr;
  std::mutex mutex;
  std::deque<MemoryRef> ranges;
  size_t bytes = 0;

  void add(MemoryRef memory) {
    std::lock_guard lock(mutex);
    bytes += memory.size();
    ranges.push_back(std::move(memory));
  }
  bool drop(size_t wanted) {
    std::vector<MemoryRef> dropped;
    std::lock_guard lock(mutex);
    for (size_t sum = 0; sum < wanted && !ranges.empty(); sum += dropped.back().size()) {
      dropped.push_back(std::move(ranges.front()));
      ranges.pop_front();
      bytes -= dropped.back().size();
      if (inUse) inUse->remove(dropped.back());
    }
    return !dropped.empty();
  }
};

}  // namespace

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
        uint32_t highest = GranuleTree::kNone;
        for (uint32_t start = granules, run = 0; start-- > 0 && highest == GranuleTree::kNone;) {
          run = used[start] ? 0 : run + 1;
          if (run == count) highest = start;
        }
        CHECK_EQ(tree.findHighest(count), highest);
        if (expected == GranuleTree::kNone) continue;
        if (random() % 2 == 0) expected = highest;
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

TEST(arena_takes_small_ranges_from_the_bottom_and_large_ones_from_the_top) {
  Arena arena(1 << 20);
  MemoryRef first = arena.allocate(5000);
  MemoryRef second = arena.allocate(1);
  CHECK_EQ(first.offset(), 0u);
  CHECK_EQ(second.offset(), 8192u);
  first.reset();
  CHECK_EQ(arena.allocate(4096).offset(), 0u);
  CHECK_EQ(arena.stats().used, 4096u);
  MemoryRef large = arena.allocate(Arena::kSmallBytes + 1);
  CHECK_EQ(large.offset(), (1u << 20) - Arena::kSmallBytes - 4096);
  large.reset();
  CHECK_EQ(arena.allocate(512 << 10).offset(), 512u << 10);
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

TEST(arena_serves_days_of_mixed_frames_without_refusal) {
  constexpr size_t kCapacity = size_t{512} << 20;
  constexpr double kLargest = kCapacity / 16;
  constexpr int kAllocations = 200'000;
  constexpr double kTail = 0.5;  // of a bounded Pareto distribution: half of all bytes are in frames above 8 MiB
  Arena arena(kCapacity);
  Ranges inUse;
  Cache cache;
  cache.inUse = &inUse;
  arena.setReclaimer([&](size_t bytes) { return cache.drop(bytes); });
  std::mt19937_64 random(20);
  auto uniform = [&] { return static_cast<double>(random() >> 11) / static_cast<double>(uint64_t{1} << 53); };
  struct Pinned {
    MemoryRef memory;
    uint64_t until;
  };
  std::deque<Pinned> pinned;
  size_t pinnedBytes = 0;
  uint64_t turned = 0;  // bytes handed out so far
  double filled = 0;
  double low = std::pow(4096.0, -kTail);
  double high = std::pow(kLargest, -kTail);
  for (int step = 1; step <= kAllocations; ++step) {
    auto bytes = static_cast<size_t>(std::pow(low - uniform() * (low - high), -1 / kTail));
    MemoryRef memory = arena.allocate(bytes);
    CHECK(memory);
    CHECK(memory.offset() + bytes <= kCapacity);
    inUse.add(memory);
    turned += bytes;
    for (size_t i = 0; i < pinned.size();) {
      if (pinned[i].until > turned) {
        ++i;
        continue;
      }
      pinnedBytes -= pinned[i].memory.size();
      inUse.remove(pinned[i].memory);
      pinned.erase(pinned.begin() + static_cast<long>(i));
    }
    if (random() % 50 == 0 && pinnedBytes + bytes <= kCapacity / 10) {
      pinnedBytes += bytes;
      pinned.push_back({std::move(memory), turned + static_cast<uint64_t>(-std::log(uniform() + 1e-12) * 3 * kCapacity)});
    } else {
      cache.add(std::move(memory));
    }
    filled += static_cast<double>(arena.stats().used) / kCapacity;
  }
  CHECK_EQ(arena.stats().refusals, 0u);
  CHECK(filled / kAllocations > 0.75);
  arena.setReclaimer({});
}

TEST(arena_asks_the_cache_to_give_way) {
  Arena arena(4 << 20);
  Cache cache;
  arena.setReclaimer([&](size_t bytes) { return cache.drop(bytes); });
  for (int i = 0; i < 4; ++i) cache.add(arena.allocate(1 << 20));
  CHECK(arena.allocate(100));
  CHECK_EQ(cache.bytes, size_t{3} << 20);  // in steps, not one small range at a time
  CHECK(arena.allocate(4 << 20));
  CHECK_EQ(cache.bytes, 0u);
  MemoryRef pinned = arena.allocate(4096);
  cache.add(arena.allocate(1 << 20));
  CHECK(!arena.allocate(4 << 20));
  CHECK_EQ(cache.bytes, 0u);
  CHECK_EQ(arena.stats().refusals, 1u);
  cache.add(arena.allocate(3 << 20));
  arena.setReclaimer({});
  CHECK(!arena.allocate(2 << 20));
  CHECK_EQ(cache.bytes, size_t{3} << 20);
}

TEST(arena_hears_that_caches_can_give_way_while_it_refuses) {
  Arena arena(1 << 20);
  Cache cache;
  bool written = false;
  arena.setReclaimer([&](size_t bytes) {
    if (written) return cache.drop(bytes);
    written = true;
    arena.announceReclaimable();
    return false;
  });
  cache.add(arena.allocate(1 << 20));
  CHECK(arena.allocate(1 << 20));
  int told = 0;
  int subscription = arena.subscribe([&] { ++told; });
  written = true;
  MemoryRef pinned = arena.allocate(1 << 20);
  CHECK(!arena.allocate(4096));
  arena.announceReclaimable();
  arena.announceReclaimable();
  CHECK_EQ(told, 1);  // of those, one for all that were refused before
  arena.unsubscribe(subscription);
  arena.setReclaimer({});
}

TEST(arena_reclaims_for_many_threads) {
  Arena arena(8 << 20);
  Cache cache;
  arena.setReclaimer([&](size_t bytes) { return cache.drop(bytes); });
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (uint32_t id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      std::mt19937 random(id);
      for (int step = 0; step < 3000; ++step) {
        MemoryRef memory = arena.allocate(1 + random() % 400000);
        if (!memory) continue;
        ++served;
        cache.add(std::move(memory));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(served > 11'000);  // a refusal is possible when all that is not cached is just being handed over
  arena.setReclaimer({});
  cache.drop(SIZE_MAX);
  CHECK_EQ(arena.stats().used, 0u);
}
