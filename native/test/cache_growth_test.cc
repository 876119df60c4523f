// What makes the arena grow beyond what is in use: see store/range_cache.h.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "store/range_cache.h"
#include "test/test.h"

using namespace kafabric;

namespace {

constexpr size_t kMiB = size_t{1} << 20;

/** A cache, an arena whose thread makes pages present, and a file that is written as soon as it is appended to. */
struct Growing {
  Arena arena{4 * Arena::kPlentyBytes};
  std::shared_ptr<RangeCache> cache = RangeCache::of(arena);
  RangeCache::File file;
  uint64_t position = 0;

  Growing() {
    arena.startTouching();
    file.written = UINT64_MAX / 2;
  }
  ~Growing() {
    arena.stopTouching();
    cache->drop(file);
  }

  /** Whose content does not matter. */
  MemoryPiece memory() {
    MemoryRef memory = arena.allocate(kMiB);
    CHECK(memory);
    return {memory, memory.data(), kMiB};
  }
  void append(uint64_t bytes) {
    for (uint64_t end = position + bytes; position < end; position += kMiB) cache->addAppended(file, position, memory());
  }
  /** Bytes from there on come from the device, and are not kept. */
  void fetch(uint64_t from, uint64_t bytes) {
    for (uint64_t at = from; at < from + bytes; at += kMiB) cache->fetched(file, at, kMiB);
  }
  /** Reads through the cache, `ahead` of somebody who takes it then; returns what came from the device. */
  uint64_t read(uint64_t from, uint64_t bytes, bool ahead) {
    uint64_t missed = 0;
    for (uint64_t at = from; at < from + bytes; at += kMiB) {
      if (find(at, kMiB) == kMiB) continue;
      cache->addRead(file, at, memory(), cache->cutsOf(file), ahead);
      cache->fetched(file, at, kMiB);
      CHECK_EQ(find(at, kMiB), kMiB);
      missed += kMiB;
    }
    return missed;
  }
  size_t find(uint64_t from, size_t length) { return cache->find(file, from, length).piece.length; }
  size_t aimed() { return arena.stats().aimed; }
};

}  // namespace

TEST(cache_growth_is_not_for_what_nobody_misses) {
  Growing growing;
  growing.append(3 * growing.arena.capacity());
  // What is in use between the allocation of a range and its being appended, and room for parts that do not fit.
  CHECK(growing.aimed() <= Arena::roomFor(Arena::kPlentyBytes + 4 * kMiB) + Arena::kReadyBytes);
  CHECK(growing.cache->stats().bytes >= Arena::kPlentyBytes / 2);
}

TEST(cache_growth_is_not_for_what_waits_to_be_written_where_others_can_give_way) {
  Growing growing;
  growing.append(2 * Arena::kPlentyBytes);
  size_t aimed = growing.aimed();
  growing.cache->waiting(Arena::kPlentyBytes);
  growing.append(2 * Arena::kPlentyBytes);
  CHECK(growing.aimed() <= aimed + 2 * Arena::kReadyBytes);
}

TEST(cache_growth_is_not_for_large_ranges_while_several_of_them_fit) {
  Growing growing;
  growing.append(3 * growing.arena.capacity());
  while (growing.arena.stats().backed < growing.aimed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  size_t backed = growing.arena.stats().backed;
  std::vector<MemoryRef> large;
  for (int i = 0; i < 4; ++i) CHECK(large.emplace_back(growing.arena.allocate(backed / 10)));
  CHECK_EQ(growing.arena.stats().backed, backed);
}

TEST(cache_growth_is_for_what_waits_to_be_written) {
  Growing growing;
  constexpr size_t kWaits = 2 * Arena::kPlentyBytes;
  growing.file.written = 0;
  growing.cache->waiting(kWaits);
  growing.append(kWaits);
  CHECK(growing.aimed() >= Arena::roomFor(kWaits) - Arena::kReadyBytes);
  CHECK(growing.find(0, 1) > 0);
  growing.cache->waiting(-static_cast<int64_t>(kWaits));
  growing.file.written = UINT64_MAX / 2;
  size_t aimed = growing.aimed();
  CHECK(aimed < growing.arena.capacity());
  growing.append(4 * growing.arena.capacity());
  CHECK_EQ(growing.aimed(), aimed);
}

TEST(cache_growth_is_for_what_was_read_ahead_and_nobody_has_had) {
  constexpr uint64_t kFar = uint64_t{1} << 40;
  Growing growing;
  growing.append(2 * Arena::kPlentyBytes);
  size_t aimed = growing.aimed();
  auto readAll = [&](bool had) {
    for (size_t at = 0; at < 2 * Arena::kPlentyBytes; at += kMiB) {
      growing.cache->addRead(growing.file, kFar + at, growing.memory(), growing.cache->cutsOf(growing.file), true);
      if (had) CHECK_EQ(growing.find(kFar + at, kMiB), kMiB);
    }
  };
  readAll(true);
  CHECK(growing.aimed() <= aimed + 2 * Arena::kReadyBytes);
  growing.cache->drop(growing.file);
  readAll(false);
  CHECK(growing.aimed() >= aimed + Arena::kPlentyBytes / 2);
}

TEST(cache_growth_is_for_what_readers_miss_as_much_as_they_do) {
  Growing growing;
  uint64_t capacity = growing.arena.capacity();
  growing.append(2 * capacity);
  size_t aimed = growing.aimed();
  growing.fetch(0, Arena::kPlentyBytes);  // too far back
  growing.fetch(growing.position - capacity, Arena::kPlentyBytes / 8);
  RangeCache::File unknown;
  growing.cache->fetched(unknown, 0, Arena::kPlentyBytes);  // of what an earlier process wrote
  CHECK_EQ(growing.aimed(), aimed);

  // The age of what was appended is known to a part in 32 of the capacity.
  uint64_t distance = Arena::kPlentyBytes + Arena::kPlentyBytes / 2;
  growing.cache->fetched(growing.file, growing.position - distance, 2048);
  CHECK_EQ(growing.aimed(), aimed);
  growing.fetch(growing.position - distance, 3 * Arena::kReadyBytes);
  CHECK(growing.aimed() > aimed + 2 * Arena::kReadyBytes);
  CHECK(growing.aimed() <= aimed + 4 * Arena::kReadyBytes);
  // No more than what would have held it.
  for (int i = 0; i < 8; ++i) growing.fetch(growing.position - distance, Arena::kPlentyBytes / 4);
  CHECK(growing.aimed() >= Arena::roomFor(distance));
  CHECK(growing.aimed() <= Arena::roomFor(distance + capacity / 32) + Arena::kReadyBytes);
  aimed = growing.aimed();
  growing.fetch(growing.position - distance / 2, Arena::kPlentyBytes / 4);
  CHECK_EQ(growing.aimed(), aimed);

  // Files that are appended to in turns share the memory.
  RangeCache::File other;
  other.written = UINT64_MAX / 2;
  for (uint64_t at = 0; at < distance; at += kMiB) {
    growing.append(kMiB);
    growing.cache->addAppended(other, at, growing.memory());
  }
  for (int i = 0; i < 64; ++i) growing.cache->fetched(other, 0, Arena::kPlentyBytes / 16);
  CHECK(growing.aimed() >= Arena::roomFor(2 * distance));
  growing.cache->drop(other);
}

TEST(cache_growth_is_for_what_is_read_again_if_the_arena_could_hold_that) {
  for (bool ahead : {false, true}) {
    Growing growing;
    auto scan = [&](uint64_t from, uint64_t bytes) { growing.read(from, bytes, ahead); };
    size_t least = Arena::roomFor(Arena::kPlentyBytes + 4 * kMiB) + Arena::kReadyBytes;
    scan(0, 2 * growing.arena.capacity());
    CHECK(growing.aimed() <= least);
    // All of it again is more than the arena could hold; the last part is not.
    scan(0, Arena::kPlentyBytes);
    CHECK(growing.aimed() <= least);
    uint64_t distance = Arena::kPlentyBytes + Arena::kPlentyBytes / 2;
    scan(3 * growing.arena.capacity(), distance);
    for (int i = 0; i < 64; ++i) growing.fetch(3 * growing.arena.capacity(), Arena::kPlentyBytes / 32);
    CHECK(growing.aimed() >= Arena::roomFor(distance));
    CHECK(growing.aimed() <= Arena::roomFor(distance + growing.arena.capacity() / 32) + Arena::kReadyBytes);
  }
}

TEST(cache_growth_has_what_is_read_again_in_memory_after_a_reading_or_two) {
  constexpr uint64_t kBytes = 2 * Arena::kPlentyBytes;
  Growing growing;
  growing.append(kBytes);
  size_t before = growing.aimed();
  std::vector<uint64_t> missed;
  for (int round = 0; round < 4; ++round) {
    missed.push_back(growing.read(0, kBytes, false));
    WAIT_UNTIL(growing.arena.stats().touched == growing.aimed());
  }
  CHECK(missed[0] > kBytes / 4 && missed[0] < 3 * kBytes / 4);
  CHECK_EQ(missed[3], 0u);
  // Who reads once has paid for no more than that.
  CHECK(growing.aimed() - before <= missed[0] + missed[1] + missed[2] + 4 * Arena::kReadyBytes);
  CHECK(growing.aimed() <= Arena::roomFor(kBytes + growing.arena.capacity() / 32) + Arena::kReadyBytes);
  // It is so for whoever comes later: new bytes find their room.
  size_t aimed = growing.aimed();
  growing.append(kBytes);
  CHECK(growing.read(kBytes, kBytes, false) <= kBytes / 8);
  CHECK(growing.aimed() <= aimed + kBytes / 8);
}

TEST(cache_growth_has_what_is_read_again_in_memory_although_what_nobody_reads_was_appended) {
  constexpr uint64_t kFar = uint64_t{1} << 40;
  constexpr uint64_t kBytes = Arena::kPlentyBytes + Arena::kPlentyBytes / 2;
  Growing growing;
  growing.append(2 * Arena::kPlentyBytes);
  uint64_t missed = 0;
  for (int round = 0; round < 6; ++round) {
    missed = growing.read(kFar, kBytes, false);
    WAIT_UNTIL(growing.arena.stats().touched == growing.aimed());
  }
  CHECK_EQ(missed, 0u);
  CHECK(growing.aimed() <= Arena::roomFor(kBytes + growing.arena.capacity() / 32) + Arena::kReadyBytes);
}

TEST(cache_growth_takes_in_once_what_is_checked_after_it_was_read) {
  constexpr uint64_t kBytes = Arena::kPlentyBytes + Arena::kPlentyBytes / 2;
  Growing growing;
  for (int round = 0; round < 5; ++round) {
    for (uint64_t at = 0; at < kBytes; at += kMiB) {
      if (growing.read(at, kMiB, false) == 0) continue;
      RangeCache::File& file = growing.file;
      growing.cache->addChecked(file, at, growing.cache->find(file, at, kMiB).piece, growing.cache->cutsOf(file));
    }
    WAIT_UNTIL(growing.arena.stats().touched == growing.aimed());
  }
  CHECK_EQ(growing.read(0, kBytes, false), 0u);
  CHECK(growing.aimed() <= Arena::roomFor(kBytes + growing.arena.capacity() / 32) + Arena::kReadyBytes);
}

TEST(cache_growth_knows_the_age_of_what_is_appended_anew_where_a_file_was_cut) {
  Growing growing;
  growing.append(3 * Arena::kPlentyBytes);
  size_t aimed = growing.aimed();
  uint64_t cut = Arena::kPlentyBytes / 2;
  growing.cache->cut(growing.file, cut);
  growing.fetch(cut, Arena::kPlentyBytes);
  CHECK_EQ(growing.aimed(), aimed);
  growing.position = cut;
  growing.append(2 * Arena::kPlentyBytes);
  for (int i = 0; i < 64; ++i) growing.fetch(cut, Arena::kPlentyBytes / 16);
  CHECK(growing.aimed() >= Arena::roomFor(2 * Arena::kPlentyBytes));
  CHECK(growing.aimed() <= Arena::roomFor(2 * Arena::kPlentyBytes + growing.arena.capacity() / 32) + Arena::kReadyBytes);
}
