#include "arena/append_guesses.h"

#include <cstring>
#include <deque>
#include <random>
#include <utility>

#include "arena/arena.h"
#include "test/store_fixture.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kUnit = AppendGuesses::kUnitBytes;

/** Guesses for records that are appended, later and in the order of their arrival, to a file that may have grown otherwise. */
struct Partition {
  AppendGuesses& guesses;
  uint64_t stream;
  uint64_t end = 0;
  std::deque<AppendGuesses::Guess> placed{};
  std::deque<std::pair<AppendGuesses::Guess, uint16_t>> received{};  // and what was guessed first
  int wrong = 0;

  void place(size_t length) {
    placed.push_back(guesses.guess(stream, 0, length));
    guesses.expect(placed.back());
  }
  void arrive(size_t index = 0) {
    AppendGuesses::Guess guess = placed[index];
    placed.erase(placed.begin() + static_cast<std::ptrdiff_t>(index));
    uint16_t position = guess.position;
    guesses.arrive(guess);
    received.emplace_back(guess, position);
  }
  void receive(size_t length) {
    place(length);
    arrive();
  }
  void append() {
    auto [guess, position] = received.front();
    received.pop_front();
    wrong += position != end % kUnit;
    guesses.learn(guess, end);
    end += guess.length;
  }
  void appendAll() {
    while (!received.empty()) append();
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
      if (random() % 2 && partition->placed.size() < 5) partition->place(1 + random() % 100'000);
      if (random() % 2 && !partition->placed.empty()) partition->arrive();
      if (random() % 2 && !partition->received.empty()) partition->append();
    }
  }
  CHECK_EQ(one.wrong + other.wrong, 0);
}

TEST(who_overtakes_others_moves_no_later_guess) {
  AppendGuesses guesses;
  Partition partition{guesses, 4};
  for (size_t length : {1000, 2000, 3000}) partition.place(length);
  partition.arrive(1);
  partition.arrive(0);
  partition.place(500);
  partition.arrive(0);
  partition.arrive(0);
  partition.appendAll();
  CHECK_EQ(partition.wrong, 2);  // the two that changed places
  for (int i = 0; i < 10; ++i) partition.receive(700);
  partition.appendAll();
  CHECK_EQ(partition.wrong, 2);
}

TEST(what_comes_without_memory_and_what_never_arrives_is_counted) {
  AppendGuesses guesses;
  Partition partition{guesses, 4};
  partition.place(1000);
  partition.place(333);
  guesses.cancel(partition.placed.back());
  partition.placed.pop_back();
  partition.arrive();
  guesses.arrive(4, 77);  // a small one, which takes its turn
  partition.append();
  partition.end += 77;
  partition.receive(1000);
  partition.receive(1000);
  partition.appendAll();
  CHECK_EQ(partition.wrong, 0);
}

TEST(a_wrong_guess_is_corrected_once_it_was_wrong_twice) {
  AppendGuesses guesses;
  Partition partition{guesses, 9};
  for (int i = 0; i < 4; ++i) partition.receive(1000);
  partition.end = 12'345;  // a new segment, or another's records
  partition.appendAll();
  CHECK_EQ(partition.wrong, 4);
  for (int i = 0; i < 4; ++i) partition.receive(1000);
  partition.appendAll();
  CHECK_EQ(partition.wrong, 4);
  // What was refused is not behind what follows.
  partition.receive(777);
  partition.received.pop_front();
  for (int i = 0; i < 4; ++i) {
    partition.receive(1000);
    partition.append();
  }
  CHECK_EQ(partition.wrong, 6);
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
    if (random() % 4 == 0) {  // its connection has ended
      memory.reset();
      CHECK_EQ(arena.guesses().guess(guess.stream, 0, 1).position, guess.position);
      continue;
    }
    CHECK(memory.arrived());
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
    CHECK(memory.arrived());
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
