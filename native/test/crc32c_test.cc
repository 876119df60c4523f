#include "batch/crc32c.h"

#include <random>
#include <string>
#include <vector>

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
