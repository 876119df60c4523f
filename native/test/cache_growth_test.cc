// What makes the arena grow beyond what is in use: see store/range_cache.h.
#include <algorithm>
#include <cstdint>
#include <memory>

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

TEST(cache_growth_is_for_what_readers_miss_if_the_arena_could_hold_that) {
  Growing growing;
  RangeCache& cache = *growing.cache;
  uint64_t capacity = growing.arena.capacity();
  growing.append(2 * capacity);
  size_t aimed = growing.aimed();
  cache.missed(growing.file, 0, kMiB);
  cache.missed(growing.file, growing.position - capacity, kMiB);
  RangeCache::File unknown;
  cache.missed(unknown, 0, kMiB);  // of what an earlier process wrote
  CHECK_EQ(growing.aimed(), aimed);
  CHECK_EQ(cache.stats().missBytes, 3 * kMiB);

  // The age of what was appended is known to a part in 32 of the capacity.
  uint64_t distance = Arena::kPlentyBytes + Arena::kPlentyBytes / 2;
  cache.missed(growing.file, growing.position - distance, 2048);  // too little for so much memory
  CHECK_EQ(growing.aimed(), aimed);
  cache.missed(growing.file, growing.position - distance, kMiB);
  CHECK(growing.aimed() >= Arena::roomFor(distance));
  CHECK(growing.aimed() <= Arena::roomFor(distance + capacity / 32) + Arena::kReadyBytes);
  aimed = growing.aimed();
  cache.missed(growing.file, growing.position - distance / 2, kMiB);
  CHECK_EQ(growing.aimed(), aimed);

  // Files that are appended to in turns share the memory.
  RangeCache::File other;
  other.written = UINT64_MAX / 2;
  for (uint64_t at = 0; at < distance; at += kMiB) {
    growing.append(kMiB);
    cache.addAppended(other, at, growing.memory());
  }
  cache.missed(other, 0, kMiB);
  CHECK(growing.aimed() >= Arena::roomFor(2 * distance));
  cache.drop(other);
}

TEST(cache_growth_is_for_what_is_read_again_if_the_arena_could_hold_that) {
  for (bool ahead : {false, true}) {
    Growing growing;
    RangeCache& cache = *growing.cache;
    auto scan = [&](uint64_t from, uint64_t bytes) {
      for (uint64_t at = from; at < from + bytes; at += kMiB) {
        cache.missed(growing.file, at, kMiB);
        cache.addRead(growing.file, at, growing.memory(), cache.cutsOf(growing.file), ahead);
        CHECK_EQ(growing.find(at, kMiB), kMiB);
      }
    };
    scan(0, 2 * growing.arena.capacity());
    CHECK(growing.aimed() <= Arena::roomFor(Arena::kPlentyBytes + 4 * kMiB) + Arena::kReadyBytes);
    // All of it again is more than the arena could hold; the last part is not.
    scan(0, Arena::kPlentyBytes);
    CHECK(growing.aimed() <= Arena::roomFor(Arena::kPlentyBytes + 4 * kMiB) + Arena::kReadyBytes);
    uint64_t distance = Arena::kPlentyBytes + Arena::kPlentyBytes / 2;
    scan(3 * growing.arena.capacity(), distance);
    cache.missed(growing.file, 3 * growing.arena.capacity(), kMiB);
    CHECK(growing.aimed() >= Arena::roomFor(distance));
    CHECK(growing.aimed() <= Arena::roomFor(distance + growing.arena.capacity() / 32) + Arena::kReadyBytes);
  }
}

TEST(cache_growth_knows_the_age_of_what_is_appended_anew_where_a_file_was_cut) {
  Growing growing;
  growing.append(3 * Arena::kPlentyBytes);
  size_t aimed = growing.aimed();
  uint64_t cut = Arena::kPlentyBytes / 2;
  growing.cache->cut(growing.file, cut);
  growing.cache->missed(growing.file, cut, kMiB);
  CHECK_EQ(growing.aimed(), aimed);
  growing.position = cut;
  growing.append(2 * Arena::kPlentyBytes);
  growing.cache->missed(growing.file, cut, kMiB);
  CHECK(growing.aimed() >= Arena::roomFor(2 * Arena::kPlentyBytes));
  CHECK(growing.aimed() <= Arena::roomFor(2 * Arena::kPlentyBytes + growing.arena.capacity() / 32) + Arena::kReadyBytes);
}
