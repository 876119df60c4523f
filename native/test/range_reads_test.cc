// Ranges that are read together: each is what it is alone, whatever happens to others.
#include <algorithm>
#include <cerrno>
#include <random>

#include "batch/crc32c.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kExtentBytes = 300'000;
constexpr size_t kExtents = 20;

/** A file of extents with the gaps that aligned appends leave, and what each is. */
struct Extents {
  std::vector<ReadRange> ranges;
  std::string bytes;

  explicit Extents(const std::string& path) {
    std::mt19937 random(7);
    for (size_t i = 0; i < kExtents; ++i) {
      bytes.resize(bytes.size() + random() % 8192, '\0');
      uint64_t position = bytes.size();
      for (size_t j = 0; j < kExtentBytes; ++j) bytes.push_back(static_cast<char>(random()));
      ranges.push_back({position, kExtentBytes, static_cast<uint32_t>(i), sumAt(position, static_cast<uint32_t>(i))});
    }
    std::ofstream(path, std::ios::binary) << bytes;
  }
  uint32_t sumAt(uint64_t position, uint32_t seed) const {
    return crc32c(seed, reinterpret_cast<const uint8_t*>(bytes.data()) + position, kExtentBytes);
  }
  void check(const RangeRead& read, const ReadRange& range) const {
    CHECK_EQ(read.status.message, "");
    size_t length = std::min(range.length, bytes.size() - std::min<size_t>(range.position, bytes.size()));
    CHECK_EQ(read.piece.length, length);
    CHECK(std::equal(read.piece.bytes, read.piece.bytes + length, reinterpret_cast<const uint8_t*>(bytes.data()) + range.position));
    if (length == range.length && range.expected) CHECK_EQ(read.crc, *range.expected);
  }
};

bool isChecked(StoreFixture& fixture, StoreFile& file, const ReadRange& range) {
  std::vector<MemoryPiece> pieces;
  return fixture.store.reader().find(file, range.position, range.length, true, pieces) && pieces.size() == 1;
}

constexpr size_t kRoomyBytes = size_t{64} << 20;

}  // namespace

TEST(range_reads_take_neighbours_in_few_requests) {
  for (bool direct : {true, false}) {
    StoreFixture fixture(direct, kRoomyBytes);
    Extents extents(fixture.path());
    auto file = fixture.open();
    std::vector<RangeRead> reads = fixture.read(file, extents.ranges);
    CHECK_EQ(reads.size(), kExtents);
    for (size_t i = 0; i < kExtents; ++i) extents.check(reads[i], extents.ranges[i]);
    if (file->handle()->blockBytes() == 0) continue;
    // 6 MB, of which 4 MiB come at once.
    CHECK_EQ(fixture.store.counters().reads.load(), 2u);
    CHECK_EQ(reads[0].piece.memory.handle(), reads[1].piece.memory.handle());
    CHECK_EQ(fixture.store.counters().bytesRead.load(), fixture.store.cache().stats().missBytes);
    for (const ReadRange& range : extents.ranges) CHECK(isChecked(fixture, *file, range));
    // From memory, the second time.
    reads = fixture.read(file, extents.ranges);
    for (size_t i = 0; i < kExtents; ++i) extents.check(reads[i], extents.ranges[i]);
    CHECK_EQ(fixture.store.counters().reads.load(), 2u);
  }
}

TEST(range_reads_are_in_the_order_of_the_ranges_whatever_those_are) {
  for (bool direct : {true, false}) {
    StoreFixture fixture(direct, kRoomyBytes);
    Extents extents(fixture.path());
    auto file = fixture.open();
    CHECK(fixture.read(file, std::vector<ReadRange>{}).empty());
    std::mt19937 random(11);
    for (int round = 0; round < 40; ++round) {
      std::vector<ReadRange> ranges = extents.ranges;
      std::shuffle(ranges.begin(), ranges.end(), random);
      ranges.resize(random() % kExtents);
      if (round % 2 == 0) std::sort(ranges.begin(), ranges.end(), [](auto& a, auto& b) { return a.position < b.position; });
      for (int i = 0; i < 4; ++i) ranges.push_back({random() % (extents.bytes.size() + 9000), random() % 900'000, {}, {}});
      std::vector<RangeRead> reads = fixture.read(file, ranges);
      for (size_t i = 0; i < ranges.size(); ++i) extents.check(reads[i], ranges[i]);
      // So that some are in memory the next time, and in parts.
      if (round % 8 == 7) fixture.store.cache().drop(file->cached());
    }
  }
}

TEST(range_reads_tell_which_of_them_failed) {
  for (bool direct : {true, false}) {
    StoreFixture fixture(direct, kRoomyBytes);
    Extents extents(fixture.path());
    auto file = fixture.open();
    constexpr size_t kBad = 5;
    faults.readErrorAt = static_cast<off_t>(extents.ranges[kBad].position + kExtentBytes / 2);
    faults.readError = EIO;
    constexpr size_t kOther = 7;
    extents.ranges[kOther].expected = *extents.ranges[kOther].expected ^ 1;
    std::vector<RangeRead> reads = fixture.read(file, extents.ranges);
    for (size_t i = 0; i < kExtents; ++i) {
      if (i == kBad) {
        CHECK_EQ(reads[i].status.error, EIO);
        CHECK(!reads[i].piece);
        continue;
      }
      if (i == kOther) CHECK_EQ(reads[i].crc ^ 1, *extents.ranges[i].expected);
      else extents.check(reads[i], extents.ranges[i]);
      if (file->handle()->blockBytes() > 0) CHECK_EQ(isChecked(fixture, *file, extents.ranges[i]), i != kOther);
    }
    faults.reset();
    extents.check(fixture.read(file, extents.ranges)[kBad], extents.ranges[kBad]);
  }
}

TEST(range_reads_take_what_there_is_room_for) {
  // No run fits, and not all of them together.
  StoreFixture fixture(true, size_t{2} << 20);
  Extents extents(fixture.path());
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;
  std::vector<RangeRead> reads = fixture.read(file, extents.ranges);
  size_t good = 0;
  for (size_t i = 0; i < kExtents; ++i) {
    if (reads[i].status.ok()) extents.check(reads[i], extents.ranges[i]);
    else CHECK_EQ(reads[i].status.error, ETIMEDOUT);
    good += reads[i].status.ok() ? 1 : 0;
  }
  CHECK(good >= 3 && good < 7);
  reads.clear();
  for (const ReadRange& range : extents.ranges) extents.check(fixture.read(file, {range})[0], range);
  fixture.store.cache().drop(file->cached());
  CHECK_EQ(fixture.arena.stats().used, 0u);
}

TEST(range_reads_find_what_waits_to_be_written) {
  StoreFixture fixture(true, kRoomyBytes);
  Extents extents(fixture.path());
  auto file = fixture.open();
  uint64_t end = extents.bytes.size();
  std::string more(kExtentBytes, 'x');
  Outcome outcome;
  file->append(parts(more), {}, outcome.done());
  std::vector<RangeRead> reads = fixture.read(file, {extents.ranges.back(), {end, kExtentBytes, {}, {}}, {end + kExtentBytes, 10, {}, {}}});
  extents.check(reads[0], extents.ranges.back());
  CHECK_EQ(std::string(reinterpret_cast<const char*>(reads[1].piece.bytes), reads[1].piece.length), more);
  CHECK(reads[2].status.ok() && reads[2].piece && reads[2].piece.length == 0);
  CHECK(outcome.wait().ok());
  // What is cut off is not read any more.
  CHECK(truncate(*file, end - 1000).ok());
  reads = fixture.read(file, {extents.ranges[kExtents - 2], extents.ranges.back()});
  extents.check(reads[0], extents.ranges[kExtents - 2]);
  CHECK_EQ(reads[1].piece.length, kExtentBytes - 1000);
}

TEST(range_reads_end_with_the_store) {
  StoreFixture fixture(true, kRoomyBytes);
  Extents extents(fixture.path());
  auto file = fixture.open();
  fixture.store.stop();
  std::vector<RangeRead> reads = fixture.read(file, extents.ranges);
  CHECK_EQ(reads.size(), kExtents);
  for (const RangeRead& read : reads) CHECK_EQ(read.status.error, ESHUTDOWN);
}
