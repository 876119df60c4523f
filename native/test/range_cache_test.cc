#include "store/range_cache.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "test/test.h"

using namespace kafabric;

namespace {

constexpr size_t kGranule = Arena::kGranuleBytes;

uint8_t byteAt(uint64_t position) { return static_cast<uint8_t>(position * 7 + position / 251); }

void fill(uint8_t* target, uint64_t position, size_t length) {
  for (size_t i = 0; i < length; ++i) target[i] = byteAt(position + i);
}

bool matches(const MemoryPiece& piece, uint64_t position) {
  for (size_t i = 0; i < piece.length; ++i) {
    if (piece.bytes[i] != byteAt(position + i)) return false;
  }
  return true;
}

struct Fixture {
  Arena arena;
  std::shared_ptr<RangeCache> cache;
  RangeCache::File file;

  explicit Fixture(size_t granules) : arena(granules * kGranule), cache(RangeCache::of(arena)) {}
  ~Fixture() { cache->drop(file); }

  /** Memory with what the file has there. */
  MemoryPiece piece(uint64_t position, size_t length) {
    MemoryRef memory = arena.allocate(length);
    CHECK(memory);
    fill(memory.data(), position, length);
    return {memory, memory.data(), length};
  }
  void copy(uint64_t position, size_t length) {
    std::string bytes(length, '\0');
    auto* start = reinterpret_cast<uint8_t*>(bytes.data());
    fill(start, position, length);
    MemoryPiece copied = cache->addCopy(file, position, start, length);
    CHECK_EQ(copied.length, length);
    CHECK(matches(copied, position));
  }
  void appended(uint64_t position, size_t length) { cache->addAppended(file, position, piece(position, length)); }
  void read(uint64_t position, size_t length, bool ahead = false) {
    cache->addRead(file, position, piece(position, length), cache->cutsOf(file), ahead);
  }
  /** How much is found there in one piece. */
  size_t foundAt(uint64_t position, size_t length = SIZE_MAX / 2) {
    RangeCache::Found found = cache->find(file, position, length);
    CHECK(matches(found.piece, position));
    CHECK_EQ(static_cast<bool>(found.piece), found.gap == 0);
    return found.piece.length;
  }
};

}  // namespace

TEST(range_cache_finds_ranges_and_gaps) {
  Fixture fixture(64);
  fixture.appended(0, 100);
  fixture.appended(100, 5000);
  fixture.read(8000, 1000);
  CHECK_EQ(fixture.foundAt(0), 100u);
  CHECK_EQ(fixture.foundAt(99), 1u);
  CHECK_EQ(fixture.foundAt(100, 10), 10u);
  CHECK_EQ(fixture.foundAt(5099), 1u);
  RangeCache::Found gap = fixture.cache->find(fixture.file, 5100, 10'000);
  CHECK(!gap.piece && gap.gap == 2900);
  CHECK_EQ(fixture.cache->find(fixture.file, 7000, 500).gap, 500u);
  CHECK_EQ(fixture.cache->find(fixture.file, 9000, 77).gap, 77u);
  CHECK(fixture.cache->find(fixture.file, 50, 1).appended);
  CHECK(!fixture.cache->find(fixture.file, 8500, 1).appended);
  // What overlaps is not taken in twice.
  fixture.read(7500, 600);
  fixture.read(8999, 10);
  fixture.read(5000, 200);
  CHECK_EQ(fixture.foundAt(7500), 0u);
  CHECK_EQ(fixture.foundAt(9000), 0u);
  CHECK_EQ(fixture.foundAt(5100), 0u);
  fixture.read(5100, 2900);
  CHECK_EQ(fixture.foundAt(5100), 2900u);
  CHECK_EQ(fixture.cache->stats().bytes, 9000u);
  fixture.cache->hit(10);
  fixture.cache->missed(3);
  fixture.cache->hit(1);
  CHECK_EQ(fixture.cache->stats().hitBytes, 11u);
  CHECK_EQ(fixture.cache->stats().missBytes, 3u);
  CHECK(RangeCache::of(fixture.arena) == fixture.cache);
  fixture.cache->drop(fixture.file);
  CHECK_EQ(fixture.cache->stats().bytes, 0u);
  CHECK_EQ(fixture.arena.stats().used, 0u);
}

TEST(range_cache_copies_neighbours_behind_one_another) {
  Fixture fixture(1024);
  uint64_t end = 0;
  for (; end < 4000; end += 100) fixture.copy(end, 100);
  CHECK_EQ(fixture.foundAt(0), 4000u);
  CHECK_EQ(fixture.arena.stats().used, kGranule);
  // The next ones are larger, to an end.
  for (; end < 1'000'000; end += 100) fixture.copy(end, 100);
  CHECK(fixture.arena.stats().blocks < 16);
  size_t pieces = 0;
  for (uint64_t at = 0; at < end; ++pieces) at += fixture.foundAt(at);
  CHECK(pieces < 16);
  fixture.copy(end, 500'000);
  CHECK_EQ(fixture.foundAt(end), 500'000u);
  CHECK_EQ(fixture.cache->stats().bytes, end + 500'000);
  // No room for more than is needed, then for nothing.
  Fixture full(3);
  full.copy(0, 5000);
  MemoryPiece held = full.cache->find(full.file, 0, 5000).piece;
  full.copy(5000, 100);
  std::string more(5000, '\0');
  CHECK(!full.cache->addCopy(full.file, 5100, reinterpret_cast<uint8_t*>(more.data()), more.size()));
  CHECK_EQ(full.foundAt(5000), 100u);
}

TEST(range_cache_forgets_what_is_cut_off) {
  Fixture fixture(64);
  for (uint64_t at = 0; at < 1000; at += 10) fixture.copy(at, 10);
  uint64_t cuts = fixture.cache->cutsOf(fixture.file);
  fixture.cache->cut(fixture.file, 505);
  CHECK_EQ(fixture.foundAt(0), 505u);
  CHECK_EQ(fixture.foundAt(505), 0u);
  CHECK_EQ(fixture.cache->stats().bytes, 505u);
  // A read that had begun before does not bring it back.
  fixture.cache->addRead(fixture.file, 600, fixture.piece(600, 100), cuts, false);
  CHECK_EQ(fixture.foundAt(600), 0u);
  for (uint64_t at = 505; at < 600; at += 5) fixture.copy(at, 5);
  CHECK_EQ(fixture.foundAt(505), 95u);
  // What is appended takes the place of what a reader found there before the file was cut.
  fixture.read(700, 50);
  fixture.appended(720, 10);
  CHECK_EQ(fixture.foundAt(700), 20u);
  CHECK(fixture.cache->find(fixture.file, 725, 1).appended);
  CHECK_EQ(fixture.foundAt(720), 10u);
  fixture.read(610, 20);
  fixture.read(640, 20);
  cuts = fixture.cache->cutsOf(fixture.file);
  fixture.cache->cutRead(fixture.file, 645);
  CHECK_EQ(fixture.foundAt(610), 20u);
  CHECK_EQ(fixture.foundAt(640), 0u);
  CHECK_EQ(fixture.foundAt(700), 0u);
  CHECK_EQ(fixture.foundAt(720), 10u);
  fixture.cache->addRead(fixture.file, 640, fixture.piece(640, 20), cuts, false);
  CHECK_EQ(fixture.foundAt(640), 0u);
}

TEST(range_cache_gives_way_to_those_who_allocate) {
  Fixture fixture(8);
  RangeCache::File other;
  fixture.appended(0, kGranule);
  fixture.appended(kGranule, kGranule);
  fixture.cache->addAppended(other, 0, fixture.piece(0, kGranule));
  fixture.read(4 * kGranule, kGranule);
  fixture.read(5 * kGranule, kGranule);
  fixture.appended(6 * kGranule, 2 * kGranule);
  fixture.file.written = 7 * kGranule;  // not all of the last one
  std::vector<MemoryRef> taken;
  auto take = [&] { taken.push_back(fixture.arena.allocate(kGranule)); };
  auto there = [&] {
    std::string names;
    if (fixture.foundAt(0) > 0) names += 'a';
    if (fixture.foundAt(kGranule) > 0) names += 'b';
    if (fixture.cache->find(other, 0, 1).piece) names += 'o';
    if (fixture.foundAt(4 * kGranule) > 0) names += 'r';
    if (fixture.foundAt(5 * kGranule) > 0) names += 's';
    if (fixture.foundAt(6 * kGranule) > 0) names += 'u';
    return names;
  };
  take();
  CHECK_EQ(there(), "aborsu");
  // The arena asks for a step of many granules, and the cache gives what it may: of all but what is not written.
  MemoryPiece held = fixture.cache->find(fixture.file, 4 * kGranule, kGranule).piece;
  take();
  CHECK_EQ(there(), "ou");
  CHECK(matches(held, 4 * kGranule));
  take();
  take();
  CHECK(taken[3]);
  // a, b and s gave their memory; r gives it when it has been sent, o and u when they are written.
  take();
  CHECK(!taken[4]);
  held = {};
  take();
  CHECK(taken[5]);
  other.written = kGranule;
  take();
  CHECK(taken[6]);
  CHECK_EQ(there(), "u");
  fixture.file.written = 8 * kGranule;
  take();
  take();
  CHECK(taken[8]);
  CHECK_EQ(there(), "");
  CHECK_EQ(fixture.cache->stats().bytes, 0u);
  fixture.cache->drop(other);
}

TEST(range_cache_gives_read_ranges_before_appended_ones_and_old_before_new) {
  constexpr size_t kStep = size_t{1} << 20;  // what the arena asks for at least
  Fixture fixture(6 * kStep / kGranule);
  fixture.file.written = UINT64_MAX / 2;
  for (uint64_t i = 0; i < 3; ++i) fixture.appended(i * kStep, kStep);
  for (uint64_t i = 5; i < 8; ++i) fixture.read(i * kStep, kStep);
  std::vector<MemoryRef> taken;
  std::vector<uint64_t> expected{5, 6, 7, 0, 1, 2};
  for (size_t gone = 0; gone < expected.size(); ++gone) {
    taken.push_back(fixture.arena.allocate(kStep));
    CHECK(taken.back());
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK_EQ(fixture.foundAt(expected[i] * kStep) > 0, i > gone);
    }
  }
}

TEST(range_cache_keeps_what_was_read_again_after_it_gave_way_as_what_was_appended) {
  constexpr size_t kStep = size_t{1} << 20;
  Fixture fixture(6 * kStep / kGranule);
  fixture.file.written = UINT64_MAX / 2;
  for (uint64_t i = 0; i < 3; ++i) fixture.appended(i * kStep, kStep);
  for (uint64_t i : {5, 6}) fixture.read(i * kStep, kStep);
  fixture.arena.allocate(2 * kStep);
  for (uint64_t i : {5, 6}) CHECK_EQ(fixture.foundAt(i * kStep), 0u);
  for (bool ahead : {false, true}) {
    uint64_t i = ahead ? 6 : 5;
    fixture.read(i * kStep, kStep, ahead);
    CHECK_EQ(fixture.foundAt(i * kStep), kStep);
  }
  fixture.read(7 * kStep, kStep);
  std::vector<MemoryRef> taken;
  std::vector<uint64_t> expected{7, 0, 1, 2, 5, 6};
  for (size_t gone = 0; gone < expected.size(); ++gone) {
    taken.push_back(fixture.arena.allocate(kStep));
    for (size_t i = 0; i < expected.size(); ++i) CHECK_EQ(fixture.foundAt(expected[i] * kStep) > 0, i > gone);
  }
}

TEST(range_cache_is_safe_for_many_threads) {
  Fixture fixture(96);
  constexpr int kFiles = 3;
  RangeCache::File files[kFiles];
  std::atomic<bool> stop{false};
  std::atomic<bool> wrong{false};
  std::atomic<uint64_t> ends[kFiles] = {};
  std::vector<std::thread> threads;
  for (int f = 0; f < kFiles; ++f) {
    threads.emplace_back([&, f] {
      std::mt19937 random(static_cast<uint32_t>(f));
      std::string bytes(9000, '\0');
      auto* start = reinterpret_cast<uint8_t*>(bytes.data());
      for (int i = 0; i < 3000; ++i) {
        uint64_t end = ends[f];
        size_t length = 1 + random() % (random() % 4 == 0 ? 9000 : 300);
        MemoryRef memory = random() % 3 == 0 ? fixture.arena.allocate(length) : MemoryRef();
        if (memory) {
          fill(memory.data(), end, length);
          fixture.cache->addAppended(files[f], end, {memory, memory.data(), length});
        } else {
          fill(start, end, length);
          fixture.cache->addCopy(files[f], end, start, length);
        }
        ends[f] = end += length;
        if (random() % 4 > 0) files[f].written = end;
        if (random() % 100 > 0) continue;
        ends[f] = end = end / 2;
        fixture.cache->cut(files[f], end);
        files[f].written = end;
        fixture.cache->cutRead(files[f], end);
      }
    });
  }
  for (uint32_t reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      std::mt19937 random(100 + reader);
      while (!stop) {
        size_t f = random() % kFiles;
        uint64_t end = ends[f];
        uint64_t position = end > 0 ? random() % end : 0;
        uint64_t cuts = fixture.cache->cutsOf(files[f]);
        RangeCache::Found found = fixture.cache->find(files[f], position, 5000);
        if (!matches(found.piece, position)) wrong = true;
        size_t gap = std::min<size_t>(found.gap, 3000);
        MemoryRef memory = gap > 0 ? fixture.arena.allocate(gap) : MemoryRef();
        if (!memory) continue;
        fill(memory.data(), position, gap);
        fixture.cache->addRead(files[f], position, {memory, memory.data(), gap}, cuts, random() % 2 == 0);
      }
    });
  }
  for (int f = 0; f < kFiles; ++f) threads[static_cast<size_t>(f)].join();
  stop = true;
  for (size_t t = kFiles; t < threads.size(); ++t) threads[t].join();
  for (auto& file : files) fixture.cache->drop(file);
  CHECK(!wrong);
  CHECK_EQ(fixture.cache->stats().bytes, 0u);
  CHECK_EQ(fixture.arena.stats().used, 0u);
}

TEST(range_cache_has_what_was_checked_in_place_of_what_was_read) {
  Fixture fixture(64);
  RangeCache& cache = *fixture.cache;
  auto check = [&](uint64_t position, size_t length) {
    cache.addChecked(fixture.file, position, fixture.piece(position, length), cache.cutsOf(fixture.file));
  };
  auto isChecked = [&](uint64_t position) { return cache.find(fixture.file, position, 1).checked; };
  fixture.read(0, 1000);
  fixture.read(1500, 1000);
  fixture.read(2500, 1000);
  check(800, 2000);
  CHECK_EQ(fixture.foundAt(0), 800u);
  CHECK_EQ(fixture.foundAt(800), 2000u);
  CHECK_EQ(fixture.foundAt(2800), 700u);
  CHECK(!isChecked(799) && isChecked(800) && isChecked(2799) && !isChecked(2800));
  CHECK_EQ(cache.stats().bytes, 3500u);
  // One that lies in the middle of another leaves both of its ends, as they were.
  check(1000, 100);
  CHECK_EQ(fixture.foundAt(800), 200u);
  CHECK_EQ(fixture.foundAt(1000), 100u);
  CHECK_EQ(fixture.foundAt(1100), 1700u);
  CHECK(isChecked(999) && isChecked(1000) && isChecked(1100));
  CHECK_EQ(cache.stats().bytes, 3500u);

  // What is appended stays, also where a part of it is read again.
  fixture.appended(5000, 500);
  check(4900, 200);
  CHECK_EQ(fixture.foundAt(4900), 0u);
  CHECK_EQ(fixture.foundAt(5000), 500u);
  CHECK(isChecked(5000));
  // Of what was cut off meanwhile nothing comes back.
  uint64_t cuts = cache.cutsOf(fixture.file);
  cache.cut(fixture.file, 3000);
  cache.addChecked(fixture.file, 3000, fixture.piece(3000, 100), cuts);
  CHECK_EQ(fixture.foundAt(3000), 0u);
  cache.drop(fixture.file);
  CHECK_EQ(cache.stats().bytes, 0u);
}

TEST(range_cache_keeps_what_was_read_ahead_until_somebody_has_had_it) {
  constexpr size_t kStep = size_t{1} << 20;  // what the arena asks for at least
  Fixture fixture(6 * kStep / kGranule);
  fixture.file.written = UINT64_MAX / 2;
  fixture.appended(0, kStep);
  for (uint64_t i = 5; i < 9; ++i) fixture.read(i * kStep, kStep, true);
  fixture.read(10 * kStep, kStep);
  CHECK_EQ(fixture.foundAt(7 * kStep, kStep / 2), kStep / 2);  // not all of it
  CHECK_EQ(fixture.foundAt(6 * kStep), kStep);
  std::vector<MemoryRef> taken;
  for (uint64_t next : {10, 6, 0, 5, 7, 8}) {
    CHECK(fixture.cache->find(fixture.file, next * kStep, 1).piece);
    taken.push_back(fixture.arena.allocate(kStep));
    CHECK(taken.back());
    CHECK(!fixture.cache->find(fixture.file, next * kStep, 1).piece);
  }
}
