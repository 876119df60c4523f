#include "batch/crc32c.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "batch/known_sums.h"
#include "test/test.h"

using namespace kafabric;

TEST(crc32c_known_values) {
  CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283u);
  CHECK_EQ(crc32c(0, "", 0), 0u);
  std::string zeros(32, '\0');
  CHECK_EQ(crc32c(0, zeros.data(), zeros.size()), 0x8a9136aau);
}

TEST(crc32c_implementations_agree_at_all_sizes_and_alignments) {
  std::mt19937 random(1);
  std::vector<uint8_t> bytes(40'000);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  std::vector<size_t> lengths{0, 1, 7, 8, 9, 63, 767, 768, 769, 1535, 1536, 4096, 12287, 12288, 12289, 30'000, 39'000};
  for (size_t length = 250; length < 1100; ++length) lengths.push_back(length);
  for (size_t length : lengths) {
    for (size_t start = 0; start < 9; ++start) {
      uint32_t seed = static_cast<uint32_t>(random());
      uint32_t expected = crc32cPortable(seed, bytes.data() + start, length);
      CHECK_EQ(crc32c(seed, bytes.data() + start, length), expected);
      CHECK_EQ(crc32cInstruction(seed, bytes.data() + start, length), expected);
    }
  }
}

TEST(crc32c_of_a_copy_is_that_of_what_was_copied) {
  std::mt19937 random(3);
  std::vector<uint8_t> from(90'000);
  for (auto& byte : from) byte = static_cast<uint8_t>(random());
  for (size_t length : {0, 1, 63, 64, 255, 256, 300, 319, 1000, 4096, 16'384, 16'385, 70'001, 89'900}) {
    for (size_t shift = 0; shift < 70; shift += 1 + random() % 9) {
      std::vector<uint8_t> to(length + 140, 0xee);
      uint32_t seed = static_cast<uint32_t>(random());
      size_t start = random() % 80;
      CHECK_EQ(crc32cCopy(seed, to.data() + shift, from.data() + start, length), crc32cPortable(seed, from.data() + start, length));
      CHECK(std::equal(to.begin() + static_cast<long>(shift), to.begin() + static_cast<long>(shift + length), from.begin() + static_cast<long>(start)));
      CHECK(std::count(to.begin(), to.begin() + static_cast<long>(shift), 0xee) == static_cast<long>(shift));
      CHECK(std::count(to.begin() + static_cast<long>(shift + length), to.end(), 0xee) == static_cast<long>(140 - shift));
    }
  }
}

TEST(known_sums_are_those_of_the_bytes_and_spare_reading_them) {
  std::mt19937 random(4);
  std::vector<uint8_t> bytes(50'000);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  const uint8_t* start = bytes.data();
  for (int round = 0; round < 200; ++round) {
    KnownSums known;
    for (size_t at = random() % 3000; at < bytes.size();) {
      size_t length = std::min<size_t>(random() % 9000, bytes.size() - at);
      known.add(start + at, length, crc32c(0, start + at, length));
      at += length + (random() % 2 ? 0 : random() % 500);
    }
    for (int part = 0; part < 50; ++part) {
      size_t from = random() % bytes.size();
      size_t length = random() % (bytes.size() - from + 1);
      uint32_t seed = static_cast<uint32_t>(random());
      CHECK_EQ(known.sum(seed, start + from, length), crc32c(seed, start + from, length));
      CHECK_EQ(KnownSums().sum(seed, start + from, length), crc32c(seed, start + from, length));
    }
  }
  KnownSums known;
  known.add(start + 100, 1000, crc32c(0, start + 100, 1000));
  uint32_t all = crc32c(0, start, 2000);
  bytes[600] ^= 1;
  CHECK_EQ(known.sum(0, start, 2000), all);
  // A stretch that is not whole inside is read.
  CHECK_EQ(known.sum(0, start, 1099), crc32c(0, start, 1099));
  CHECK_EQ(known.sum(0, start + 101, 1000), crc32c(0, start + 101, 1000));
}

TEST(crc32c_continues_from_a_seed) {
  std::vector<uint8_t> bytes(20'000, 0x5a);
  uint32_t whole = crc32c(0, bytes.data(), bytes.size());
  for (size_t split : {0, 1, 100, 12'288, 19'999})
    CHECK_EQ(crc32c(crc32c(0, bytes.data(), split), bytes.data() + split, bytes.size() - split), whole);
}

TEST(crc32c_joins_stretches_of_all_lengths) {
  std::mt19937 random(2);
  std::vector<uint8_t> bytes(70'000);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t first : {0, 1, 40, 5000}) {
    for (size_t second : {0, 1, 2, 3, 7, 64, 255, 256, 1000, 4096, 65'000}) {
      uint32_t left = crc32c(0, bytes.data(), first);
      uint32_t right = crc32c(0, bytes.data() + first, second);
      CHECK_EQ(crc32cJoin(left, right, second), crc32c(0, bytes.data(), first + second));
    }
  }
  // 2^33 zero bytes: by doubling, and step by step.
  std::vector<uint8_t> zeros(1 << 20, 0);
  uint32_t once = crc32c(0, zeros.data(), zeros.size());
  uint32_t doubled = once;
  for (size_t length = zeros.size(); length < size_t{1} << 33; length *= 2) doubled = crc32cJoin(doubled, doubled, length);
  uint32_t stepped = 0;
  for (int step = 0; step < 1 << 13; ++step) stepped = crc32cJoin(stepped, once, zeros.size());
  CHECK_EQ(doubled, stepped);
}
