#include "arena/append_guesses.h"

#include <cstring>
#include <deque>
#include <random>

#include "arena/arena.h"
#include "test/store_fixture.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kUnit = AppendGuesses::kUnitBytes;

bool right(const AppendGuesses::Guess& guess, uint64_t position) { return guess.position == position % kUnit; }

/** Guesses for records that are appended, later and in order, to a file that may have grown otherwise. */
struct Partition {
  AppendGuesses& guesses;
  uint64_t stream;
  uint64_t end = 0;
  std::deque<AppendGuesses::Guess> received{};
  int wrong = 0;

  void receive(size_t length) { received.push_back(guesses.guess(stream, 0, length)); }
  void append() {
    wrong += !right(received.front(), end);
    guesses.learn(received.front(), end);
    end += received.front().length;
    received.pop_front();
  }
};

}  // namespace

TEST(guesses_follow_a_stream_with_several_requests_on_their_way) {
  AppendGuesses guesses;
  std::mt19937 random(7);
  Partition one{guesses, 1};
  Partition other{guesses, 2};
  for (int i = 0; i < 10'000; ++i) {
    for (Partition* partition : {&one, &other}) {
      if (random() % 2 && partition->received.size() < 5) partition->receive(1 + random() % 100'000);
      if (random() % 2 && !partition->received.empty()) partition->append();
    }
  }
  CHECK_EQ(one.wrong + other.wrong, 0);
}

TEST(a_wrong_guess_is_corrected_once) {
  AppendGuesses guesses;
  Partition partition{guesses, 9};
  for (int i = 0; i < 4; ++i) partition.receive(1000);
  partition.end = 12'345;  // a new segment, or another's records
  for (int i = 0; i < 4; ++i) partition.append();
  CHECK_EQ(partition.wrong, 4);
  for (int i = 0; i < 4; ++i) partition.receive(1000);
  for (int i = 0; i < 4; ++i) partition.append();
  CHECK_EQ(partition.wrong, 4);
  // What was refused is not behind what follows.
  partition.receive(777);
  partition.received.pop_front();
  partition.receive(1000);
  partition.append();
  partition.receive(1000);
  partition.append();
  CHECK_EQ(partition.wrong, 5);
}

TEST(ranges_are_placed_for_their_records) {
  Arena arena(1 << 20);
  std::mt19937 random(3);
  for (int i = 0; i < 1000; ++i) {
    size_t offset = random() % 300;
    size_t length = 1 + random() % 50'000;
    size_t size = offset + length + random() % 3;
    auto guess = arena.guesses().guess(random() % 5, offset, length);
    MemoryRef memory = arena.allocateFor(size, guess);
    CHECK(memory && memory.size() == size);
    CHECK(memory.offset() + size <= arena.capacity() && memory.data() == arena.base() + memory.offset());
    CHECK_EQ(reinterpret_cast<uintptr_t>(memory.data() + offset) % kUnit, guess.position);
    std::memset(memory.data(), 1, size);
    memory.appendedAt(memory.data() + offset, random());
  }
  // All of the arena can be had, whatever was guessed.
  auto guess = arena.guesses().guess(1, 10, arena.capacity() - 10);
  CHECK(arena.allocateFor(arena.capacity(), guess));
  CHECK_EQ(arena.stats().used, 0u);
  CHECK(arena.allocate(arena.capacity()).offset() == 0);
}

TEST(records_that_were_placed_are_written_from_where_they_are) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;  // no direct I/O here
  std::string expected;
  uint64_t edges = 0;
  for (int i = 0; i < 40; ++i) {
    size_t offset = 70 + static_cast<size_t>(i) % 13;
    size_t length = 20'000 + static_cast<size_t>(i) * 1001;
    MemoryRef memory = fixture.arena.allocateFor(offset + length, fixture.arena.guesses().guess(5, offset, length));
    std::memset(memory.data() + offset, 'a' + i % 26, length);
    expected.append(length, static_cast<char>('a' + i % 26));
    Outcome outcome;
    file->append({{memory.data() + offset, length, memory}}, {}, outcome.done());
    CHECK(outcome.wait().ok());
    edges += 2 * file->handle()->blockBytes();
    if (i == 20) {
      Outcome other;
      file->append(parts("somebody else's"), {}, other.done());
      CHECK(other.wait().ok());
      expected += "somebody else's";
      edges += 100'000;  // and one that does not suit therefore
    }
  }
  CHECK(fixture.store.counters().bytesGathered <= edges);
  CHECK_EQ(written(*file), expected);
}
