// Stores that bypass the page cache: the arena is the only cache, and files have space ahead of what is written.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <thread>

#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

std::string pattern(uint64_t position, size_t length) {
  std::string text(length, '\0');
  for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>((position + i) * 13 + (position + i) / 509);
  return text;
}

uint64_t sizeOf(const StoreFile& file) { return std::filesystem::file_size(file.handle()->path()); }

uint64_t spaceOf(const StoreFile& file) {
  struct stat info {};
  ::stat(file.handle()->path().c_str(), &info);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

std::string textOf(const ReadPieces& read) {
  CHECK_EQ(read.status.message, "");
  std::string text;
  for (const MemoryPiece& piece : read.pieces) text.append(reinterpret_cast<const char*>(piece.bytes), piece.length);
  CHECK_EQ(text.size(), read.length);
  return text;
}

}  // namespace

TEST(store_direct_reads_what_does_not_fit_into_the_arena) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  std::mt19937 random(3);
  uint64_t end = 0;
  std::vector<Outcome> outcomes;
  while (end < 8 * StoreFixture::kArenaBytes) {
    size_t length = 1 + random() % (random() % 8 == 0 ? 700'000 : 9000);
    outcomes.emplace_back();
    file->append(parts(pattern(end, length)), {}, outcomes.back().done());
    end += length;
    // Faster than the device, until the arena and then the heap hold what waits; now and then it is empty.
    if (random() % 40 > 0) continue;
    CHECK(outcomes.back().wait().ok());
    outcomes.pop_back();
  }
  for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
  CHECK(fixture.store.cache().stats().bytes <= StoreFixture::kArenaBytes);
  for (int i = 0; i < 300; ++i) {
    uint64_t position = random() % end;
    size_t length = 1 + random() % 200'000;
    auto expected = static_cast<size_t>(std::min<uint64_t>(length, end - position));
    if (i % 2 == 0) CHECK(fixture.textAt(file, position, length) == pattern(position, expected));
    else CHECK(textOf(fixture.readPieces(file, position, length)) == pattern(position, expected));
    std::string looked(expected, '\0');
    size_t got = 0;
    auto* target = reinterpret_cast<uint8_t*>(looked.data());
    if (i % 10 == 0) CHECK(fixture.store.reader().readInto(*file, position, target, expected, got).ok());
    if (i % 10 == 0) CHECK(looked == pattern(position, expected));
  }
  CHECK(written(*file) == pattern(0, end));
  CHECK_EQ(fixture.store.counters().queuedBytes.load(), 0u);
  CHECK(fixture.store.cache().stats().missBytes > 0);
}

TEST(store_direct_writes_aligned_memory_from_where_it_is) {
  StoreFixture fixture(true, size_t{16} << 20);
  auto file = fixture.open();
  size_t block = std::max<size_t>(file->handle()->blockBytes(), 1);
  CHECK(append(*file, "head").ok());
  MemoryRef memory = fixture.arena.allocate(1 << 20);
  for (size_t skip : {size_t{0}, size_t{61}, size_t{4095}}) {
    std::string text = pattern(skip, 900'000);
    std::memcpy(memory.data() + skip, text.data(), text.size());
    uint64_t before = file->written();
    Outcome outcome;
    AppendResult result = file->append({{memory.data() + skip, text.size(), memory}}, {true, false}, outcome.done());
    CHECK(outcome.wait().ok());
    CHECK(result.position >= before && result.position < before + 2 * block);
    CHECK_EQ(result.position % block, skip % block);
    CHECK(fixture.textAt(file, result.position, text.size()) == text);
    CHECK(written(*file).substr(result.position) == text);
    CHECK_EQ(written(*file).substr(before, result.position - before).find_first_not_of('\0'), std::string::npos);
  }
  // Little is put right behind what is there.
  uint64_t end = file->written();
  Outcome outcome;
  CHECK_EQ(file->append({{memory.data(), 1000, memory}}, {true, false}, outcome.done()).position, end);
  CHECK(outcome.wait().ok());
}

TEST(store_direct_reads_ahead_of_those_who_read_on) {
  constexpr uint64_t kBytes = 12 << 20;
  StoreFixture fixture(true, size_t{32} << 20);
  std::ofstream(fixture.path()) << pattern(0, kBytes);
  auto file = fixture.open();
  auto found = [&](uint64_t position) {
    return static_cast<bool>(fixture.store.cache().find(file->cached(), position, 1).piece);
  };
  CHECK(textOf(fixture.readPieces(file, 5 << 20, 1000)) == pattern(5 << 20, 1000));
  CHECK(!found((5 << 20) + 1500));
  CHECK(textOf(fixture.readPieces(file, (5 << 20) + 1000, 500'000)) == pattern((5 << 20) + 1000, 500'000));
  WAIT_UNTIL(found(8 << 20));
  CHECK(!found(1 << 20));
  uint64_t at = (5 << 20) + 501'000;
  // Pieces meet where no block is read twice.
  if (file->handle()->blockBytes() > 0) {
    WAIT_UNTIL(found(at));
    CHECK_EQ(fixture.store.cache().find(file->cached(), at, kBytes).piece.length, (8 << 20) - at);
  }
  for (size_t step = 600'000; at < kBytes; at += step) {
    auto expected = static_cast<size_t>(std::min<uint64_t>(step, kBytes - at));
    CHECK(textOf(fixture.readPieces(file, at, step)) == pattern(at, expected));
  }
  // To be sent without waiting, while it is all there.
  std::vector<MemoryPiece> pieces;
  CHECK(fixture.store.reader().find(*file, (5 << 20) + 1000, 100'000, false, pieces));
  CHECK(textOf({{}, pieces, 100'000}) == pattern((5 << 20) + 1000, 100'000));
  pieces.clear();
  CHECK(!fixture.store.reader().find(*file, (5 << 20) + 1000, 100'000, true, pieces));
  CHECK(!fixture.store.reader().find(*file, 0, 10, false, pieces));
}

TEST(store_direct_reads_the_rest_ahead_however_little) {
  constexpr uint64_t kBytes = 300'000;
  StoreFixture fixture(true, size_t{32} << 20);
  std::ofstream(fixture.path()) << pattern(0, kBytes);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;  // the kernel reads ahead
  auto found = [&](uint64_t position) {
    return static_cast<bool>(fixture.store.cache().find(file->cached(), position, 1).piece);
  };
  CHECK(textOf(fixture.readPieces(file, 50'000, 1000)) == pattern(50'000, 1000));
  CHECK(!found(kBytes - 1));
  // Some of it once more, and on.
  CHECK(textOf(fixture.readPieces(file, 50'500, 10'000)) == pattern(50'500, 10'000));
  WAIT_UNTIL(found(kBytes - 1));
  CHECK(!found(20'000));
}

TEST(store_direct_reads_ahead_behind_what_is_there) {
  constexpr uint64_t kBytes = 300'000;
  StoreFixture fixture(true, size_t{32} << 20);
  std::ofstream(fixture.path()) << pattern(0, kBytes);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;  // the kernel reads ahead
  for (uint64_t at : {200'000, 100'000, 50'000})
    CHECK(textOf(fixture.readPieces(file, at, 1000)) == pattern(at, 1000));
  CHECK(textOf(fixture.readPieces(file, 51'000, 49'000)) == pattern(51'000, 49'000));
  for (uint64_t at : {uint64_t{150'000}, kBytes - 1})
    WAIT_UNTIL(static_cast<bool>(fixture.store.cache().find(file->cached(), at, 1).piece));
}

TEST(store_direct_reads_up_to_an_end_within_a_block) {
  constexpr uint64_t kBytes = 300'001;
  StoreFixture fixture(true);
  std::ofstream(fixture.path()) << pattern(0, kBytes);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;
  faults.readsAligned = true;
  CHECK(textOf(fixture.readPieces(file, 290'000, 10'001)) == pattern(290'000, 10'001));
}

TEST(store_direct_reads_further_ahead_of_those_who_take_more) {
  constexpr uint64_t kBytes = 24 << 20;
  constexpr size_t kStep = 6 << 20;
  StoreFixture fixture(true, size_t{512} << 20);
  std::ofstream(fixture.path()) << pattern(0, kBytes);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;  // the kernel reads ahead
  auto found = [&](uint64_t position) {
    return static_cast<bool>(fixture.store.cache().find(file->cached(), position, 1).piece);
  };
  CHECK(textOf(fixture.readPieces(file, 0, kStep)) == pattern(0, kStep));
  WAIT_UNTIL(found(2 * kStep - 1));
  CHECK(!found(2 * kStep + (1 << 20)));
  // What is found goes on ahead as well.
  std::vector<MemoryPiece> pieces;
  auto all = [&] {
    pieces.clear();
    return fixture.store.reader().find(*file, kStep, kStep, false, pieces);
  };
  WAIT_UNTIL(all());
  CHECK(textOf({{}, pieces, kStep}) == pattern(kStep, kStep));
  WAIT_UNTIL(found(3 * kStep - 1));
}

TEST(store_direct_truncated_bytes_never_come_back) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  std::atomic<uint32_t> published{0};
  std::atomic<bool> stop{false};
  std::atomic<int> stale{-1};
  std::vector<std::thread> threads;
  for (uint32_t reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      std::mt19937 random(reader);
      while (!stop) {
        uint32_t least = published;
        RangeRead read = fixture.read(file, random() % 60'000, 1 + random() % 60'000);
        for (size_t i = 0; i < read.piece.length; ++i) {
          if (read.piece.bytes[i] < least) stale = read.piece.bytes[i];
        }
      }
    });
  }
  threads.emplace_back([&] {  // takes the cache's memory away
    while (!stop) fixture.arena.allocate(700'000);
  });
  // Each generation is shorter or longer than the one before, and begins in its midst.
  std::mt19937 random(9);
  for (uint32_t generation = 1; generation < 200; ++generation) {
    Outcome cut;
    Outcome appended;
    file->truncate(0, cut.done());
    size_t length = 1 + random() % 100'000;
    file->append(parts(std::string(length, static_cast<char>(generation))), {}, appended.done());
    CHECK(cut.wait().ok());
    CHECK(appended.wait().ok());
    published = generation;
    CHECK(append(*file, std::string(length / 2, static_cast<char>(generation))).ok());
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  CHECK_EQ(stale.load(), -1);
}

TEST(store_direct_files_end_in_zeros_until_trimmed_or_closed) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  std::string text;
  auto add = [&](size_t length) {
    text += pattern(text.size(), length);
    CHECK(append(*file, text.substr(text.size() - length)).ok());
    CHECK(written(*file) == text);
  };
  bool ahead = file->handle()->blockBytes() > 0;
  add(100);
  CHECK_EQ(sizeOf(*file) > text.size(), ahead);
  add(50'000);
  add(3000);
  CHECK_EQ(sizeOf(*file) > text.size(), ahead);
  CHECK(trim(*file).ok());
  CHECK_EQ(sizeOf(*file), text.size());
  CHECK(spaceOf(*file) <= text.size() + kMaxBlockBytes);
  add(10);
  CHECK_EQ(sizeOf(*file) > text.size(), ahead);
  CHECK(truncate(*file, 777).ok());
  CHECK_EQ(sizeOf(*file), 777u);
  text.resize(777);
  add(1);
  CHECK(truncate(*file, 10'000).ok());
  text.resize(10'000);
  CHECK(written(*file) == text);
  CHECK(fixture.textAt(file, 700, 20'000) == text.substr(700));
  add(5000);
  Outcome queued;
  file->append(parts(pattern(text.size(), 9000)), {}, queued.done());
  text += pattern(text.size(), 9000);
  CHECK(close(*file).ok());
  CHECK(queued.wait().ok());
  CHECK(content(fixture.path()) == text);
  CHECK(spaceOf(*file) <= text.size() + 2 * kMaxBlockBytes);
}

TEST(store_direct_takes_nothing_of_a_disk_that_has_not_enough_to_be_ahead) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;
  faults.allocateError = ENOSPC;
  faults.allocatableBytes = 2 * kMaxBlockBytes;
  faults.allocatesPart = true;
  std::string text = pattern(0, kMaxBlockBytes);
  CHECK(append(*file, text).ok());
  CHECK_EQ(sizeOf(*file), text.size());
  CHECK(close(*file).ok());
  CHECK(content(fixture.path()) == text);
}

TEST(store_direct_small_files_cost_little) {
  constexpr int kFiles = 400;
  StoreFixture fixture(true, size_t{4} << 20);
  std::vector<std::shared_ptr<StoreFile>> files;
  std::vector<Outcome> outcomes(kFiles);
  for (int i = 0; i < kFiles; ++i) {
    files.push_back(fixture.open(std::to_string(i)));
    files.back()->append(parts("file " + std::to_string(i)), {}, outcomes[static_cast<size_t>(i)].done());
  }
  for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
  CHECK(fixture.arena.stats().used <= kFiles * Arena::kGranuleBytes);
  for (int i = 0; i < kFiles; ++i) {
    auto& file = files[static_cast<size_t>(i)];
    CHECK_EQ(fixture.textAt(file, 0, 100), "file " + std::to_string(i));
    CHECK(spaceOf(*file) <= 32 << 10);
    CHECK(close(*file).ok());
    CHECK_EQ(sizeOf(*file), file->written());
  }
  files.clear();
  WAIT_UNTIL(fixture.arena.stats().used == 0);  // when threads have let go of the files
}

TEST(store_direct_reads_that_wait_for_memory_go_on_when_what_has_it_is_written) {
  StoreOptions options = StoreFixture::optionsOf(true);
  options.memoryTimeout = std::chrono::minutes(1);
  StoreFixture fixture(options);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;
  CHECK(append(*file, pattern(0, 10'000)).ok());
  fixture.store.cache().drop(file->cached());
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  for (unsigned i = 0; i < options.threads; ++i) fixture.store.writers().post([going] { going.wait(); });
  auto other = fixture.open("other");
  Outcome outcome;
  {
    MemoryRef all = fixture.arena.allocate(fixture.arena.capacity());
    CHECK(all);
    other->append({{all.data(), all.size(), all}}, {}, outcome.done());
  }
  auto waiting = std::async(std::launch::async, [&] { return fixture.textAt(file, 0, 10'000); });
  WAIT_UNTIL(fixture.store.counters().memoryWaits == 1);
  go.set_value();
  CHECK(outcome.wait().ok());
  CHECK(waiting.wait_for(std::chrono::seconds(10)) == std::future_status::ready);
  CHECK(waiting.get() == pattern(0, 10'000));
}

TEST(store_direct_keeps_what_was_read_ahead_of_one_reader_when_another_comes_along) {
  constexpr size_t kMiB = size_t{1} << 20;
  StoreFixture fixture(true, 16 * kMiB);
  RangeCache& cache = fixture.store.cache();
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;
  for (size_t at = 0; at < 8; ++at) CHECK(append(*file, pattern(at * kMiB, kMiB)).ok());
  cache.drop(file->cached());
  auto other = fixture.open("other");
  for (size_t at = 0; at < 4; ++at) CHECK(append(*other, pattern(at * kMiB, kMiB)).ok());
  CHECK_EQ(fixture.readPieces(file, 0, kMiB).length, kMiB);
  WAIT_UNTIL(cache.stats().bytes == 9 * kMiB);
  // What another one, who is elsewhere, has had read ahead meanwhile.
  file->readProgress().aheadTo = 0;
  std::vector<MemoryPiece> pieces;
  CHECK(fixture.store.reader().find(*file, kMiB, kMiB, false, pieces));
  pieces.clear();
  // Behind what was begun before.
  std::atomic<unsigned> there{0};
  unsigned threads = StoreFixture::optionsOf(true).threads;
  for (unsigned i = 0; i < threads; ++i) {
    fixture.store.readers().post([&there, threads] {
      for (++there; there < threads;) std::this_thread::yield();
    });
  }
  WAIT_UNTIL(there == threads);
  // What was read goes first, then what is oldest.
  std::vector<MemoryRef> used;
  while (cache.peek(other->cached(), 0, 1).piece && used.size() < 16) used.push_back(fixture.arena.allocate(kMiB));
  CHECK(!cache.peek(file->cached(), 0, 1).piece);
  CHECK(cache.peek(file->cached(), 2 * kMiB, 1).piece);
}

TEST(store_direct_needs_no_space_ahead) {
  for (int error : {ENOSPC, EOPNOTSUPP}) {
    StoreFixture fixture(true);
    faults.allocateError = error;
    auto file = fixture.open();
    for (int i = 0; i < 5; ++i) CHECK(append(*file, pattern(static_cast<uint64_t>(i) * 5000, 5000)).ok());
    CHECK_EQ(written(*file), pattern(0, 25'000));
    CHECK(sizeOf(*file) < 25'000 + kMaxBlockBytes);
    faults.allocateError = 0;
    CHECK(append(*file, pattern(25'000, 100)).ok());
    // A full disk may pass; a file system learns nothing new.
    bool ahead = sizeOf(*file) > 25'100 + kMaxBlockBytes;
    CHECK_EQ(ahead, error == ENOSPC && file->handle()->blockBytes() > 0);
  }
}

TEST(store_reports_failed_reads_and_cuts) {
  for (bool direct : {false, true}) {
    StoreFixture fixture(direct);
    std::ofstream(fixture.path()) << pattern(0, 10'000);
    auto file = fixture.open();
    faults.readError = EIO;
    CHECK_EQ(fixture.read(file, 0, 100).status.error, EIO);
    CHECK_EQ(fixture.readPieces(file, 5, 100).status.error, EIO);
    faults.reset();
    CHECK(fixture.textAt(file, 5, 100) == pattern(5, 100));
    faults.truncateError = EIO;
    CHECK_EQ(truncate(*file, 50).error, EIO);
    CHECK_EQ(append(*file, "refused").error, EIO);
    faults.reset();
    CHECK(truncate(*file, 50).ok());
    CHECK(append(*file, "again").ok());
    CHECK(written(*file) == pattern(0, 50) + "again");
    CHECK(fixture.read(file, 0, size_t{2} << 40).status.ok());
  }
}
