// The CRC instruction has a latency of three cycles and a throughput of one, so three stretches of the input are
// computed side by side and their results joined. Joining means advancing a CRC over a known number of zero bytes, which is
// a linear map of its 32 bits: four tables of 256 entries for each stretch length.
#include "batch/crc32c.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "batch/crc32c_folding.h"
#include "batch/crc32c_polynomial.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace kafabric {

namespace {

constexpr size_t kLong = 4096;                // bytes of each of three stretches
constexpr size_t kShort = 256;
constexpr size_t kLine = 64;  // of the caches
constexpr size_t kCopyBytes = size_t{16} << 10;  // are still in the nearest cache when they are summed
// Each stretch is a page or two, too short for the processor to see where it goes on before it ends: what is not in the caches yet is asked
// for so far ahead.
constexpr size_t kAhead = 1024;

using ByteTables = std::array<std::array<uint32_t, 256>, 8>;
using ShiftTable = std::array<std::array<uint32_t, 256>, 4>;

struct Tables {
  ByteTables bytes;
  ShiftTable longShift;
  ShiftTable shortShift;

  Tables() {
    for (uint32_t n = 0; n < 256; ++n) {
      uint32_t crc = n;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kCrc32cPolynomial : 0);
      bytes[0][n] = crc;
    }
    for (uint32_t n = 0; n < 256; ++n) {
      for (size_t k = 1; k < 8; ++k) bytes[k][n] = (bytes[k - 1][n] >> 8) ^ bytes[0][bytes[k - 1][n] & 0xff];
    }
    fillShift(longShift, kLong);
    fillShift(shortShift, kShort);
  }

  /** Advances by `length` zero bytes: the images of the 32 single bits, then their sums for each byte value. */
  void fillShift(ShiftTable& table, size_t length) const {
    uint32_t image[32];
    for (int bit = 0; bit < 32; ++bit) {
      uint32_t crc = uint32_t{1} << bit;
      for (size_t i = 0; i < length; ++i) crc = (crc >> 8) ^ bytes[0][crc & 0xff];
      image[bit] = crc;
    }
    for (size_t k = 0; k < 4; ++k) {
      for (uint32_t n = 0; n < 256; ++n) {
        uint32_t sum = 0;
        for (size_t bit = 0; bit < 8; ++bit) sum ^= (n >> bit & 1) ? image[8 * k + bit] : 0;
        table[k][n] = sum;
      }
    }
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

uint32_t shift(const ShiftTable& table, uint32_t crc) {
  return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24];
}

/** Element k is x^(8 * 2^k): the factor that advances a CRC over 2^k zero bytes. */
constexpr std::array<uint32_t, 64> kPowers = [] {
  std::array<uint32_t, 64> powers{};
  powers[0] = 0x00800000;
  for (size_t k = 1; k < powers.size(); ++k) powers[k] = multiplyCrc32c(powers[k - 1], powers[k - 1]);
  return powers;
}();

uint64_t load64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}

uint32_t updatePortable(uint32_t state, const uint8_t* p, size_t length) {
  const ByteTables& t = tables().bytes;
  for (; length >= 8; p += 8, length -= 8) {
    uint64_t v = load64(p) ^ state;
    state = t[7][v & 0xff] ^ t[6][v >> 8 & 0xff] ^ t[5][v >> 16 & 0xff] ^ t[4][v >> 24 & 0xff] ^ t[3][v >> 32 & 0xff] ^
            t[2][v >> 40 & 0xff] ^ t[1][v >> 48 & 0xff] ^ t[0][v >> 56];
  }
  for (; length > 0; ++p, --length) state = (state >> 8) ^ t[0][(state ^ *p) & 0xff];
  return state;
}

#if defined(__x86_64__)
#define KAFABRIC_CRC_TARGET __attribute__((target("sse4.2")))
KAFABRIC_CRC_TARGET inline uint64_t step64(uint64_t crc, uint64_t v) { return _mm_crc32_u64(crc, v); }
KAFABRIC_CRC_TARGET inline uint32_t step8(uint32_t crc, uint8_t v) { return _mm_crc32_u8(crc, v); }
bool hasInstruction() { return __builtin_cpu_supports("sse4.2"); }
constexpr const char* kInstructionName = "sse4.2";
#elif defined(__aarch64__)
#define KAFABRIC_CRC_TARGET __attribute__((target("+crc")))
KAFABRIC_CRC_TARGET inline uint64_t step64(uint64_t crc, uint64_t v) {
  return __crc32cd(static_cast<uint32_t>(crc), v);
}
KAFABRIC_CRC_TARGET inline uint32_t step8(uint32_t crc, uint8_t v) { return __crc32cb(crc, v); }
bool hasInstruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
constexpr const char* kInstructionName = "armv8";
#endif

#if defined(KAFABRIC_CRC_TARGET)
/** Three CRCs that are computed side by side. */
struct Sums {
  uint64_t first;
  uint64_t second = 0;
  uint64_t third = 0;
};

/** Sums each stretch from `p` up to `end`, whole lines; asks for what lies `Ahead` bytes further, unless that is 0. */
template <size_t Stretch, size_t Ahead>
KAFABRIC_CRC_TARGET inline void sumLines(Sums& sums, const uint8_t* p, const uint8_t* end) {
  for (; p < end; p += kLine) {
    if constexpr (Ahead > 0) {
      __builtin_prefetch(p + Ahead);
      __builtin_prefetch(p + Stretch + Ahead);
      __builtin_prefetch(p + 2 * Stretch + Ahead);
    }
    for (size_t i = 0; i < kLine; i += 8) {
      sums.first = step64(sums.first, load64(p + i));
      sums.second = step64(sums.second, load64(p + Stretch + i));
      sums.third = step64(sums.third, load64(p + 2 * Stretch + i));
    }
  }
}

inline uint64_t join(const Sums& sums, const ShiftTable& table) {
  uint32_t two = shift(table, static_cast<uint32_t>(sums.first)) ^ static_cast<uint32_t>(sums.second);
  return shift(table, two) ^ static_cast<uint32_t>(sums.third);
}

KAFABRIC_CRC_TARGET inline uint64_t threeLong(uint64_t first, const uint8_t* p) {
  Sums sums{first};
  // The end of a stretch asks for the beginning of the one that is summed next. Nothing is read there, so that it may lie behind the input.
  sumLines<kLong, kAhead>(sums, p, p + kLong - kAhead);
  sumLines<kLong, 2 * kLong + kAhead>(sums, p + kLong - kAhead, p + kLong);
  return join(sums, tables().longShift);
}

KAFABRIC_CRC_TARGET inline uint64_t threeShort(uint64_t first, const uint8_t* p) {
  Sums sums{first};
  sumLines<kShort, 0>(sums, p, p + kShort);
  return join(sums, tables().shortShift);
}

KAFABRIC_CRC_TARGET uint32_t updateInstruction(uint32_t state, const uint8_t* p, size_t length) {
  uint64_t crc = state;
  for (; length >= 3 * kLong; p += 3 * kLong, length -= 3 * kLong) crc = threeLong(crc, p);
  for (; length >= 3 * kShort; p += 3 * kShort, length -= 3 * kShort) crc = threeShort(crc, p);
  for (; length >= 8; p += 8, length -= 8) crc = step64(crc, load64(p));
  auto narrow = static_cast<uint32_t>(crc);
  for (; length > 0; ++p, --length) narrow = step8(narrow, *p);
  return narrow;
}

/** Long stretches are folded into a short one where that is possible. */
uint32_t updateFolding(uint32_t state, const uint8_t* p, size_t length) {
  if (length < kFoldedMinBytes) return updateInstruction(state, p, length);
  uint8_t folded[64];
  size_t read = foldCrc32c(state, p, length, folded);
  return updateInstruction(updateInstruction(0, folded, sizeof folded), p + read, length - read);
}

const bool kUseInstruction = hasInstruction();
const bool kUseFolding = kUseInstruction && canFoldCrc32c();
#else
constexpr const char* kInstructionName = "table";
constexpr bool kUseInstruction = false;
constexpr bool kUseFolding = false;
uint32_t updateInstruction(uint32_t state, const uint8_t* p, size_t length) { return updatePortable(state, p, length); }
uint32_t updateFolding(uint32_t state, const uint8_t* p, size_t length) { return updatePortable(state, p, length); }
#endif

}  // namespace

uint32_t crc32c(uint32_t seed, const void* data, size_t length) {
  const auto* p = static_cast<const uint8_t*>(data);
  return kUseFolding ? ~updateFolding(~seed, p, length) : crc32cInstruction(seed, data, length);
}

uint32_t crc32cCopy(uint32_t seed, uint8_t* to, const uint8_t* from, size_t length) {
  uint32_t crc = seed;
  size_t done = 0;
  auto copyThenSum = [&](size_t bytes) {
    std::memcpy(to + done, from + done, bytes);
    crc = crc32c(crc, to + done, bytes);
    done += bytes;
  };
  if (kUseFolding) {
    copyThenSum(std::min(length, (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine));
    if (length - done >= kFoldedMinBytes) {
      uint8_t folded[64];
      size_t copied = foldCopyCrc32c(~crc, to + done, from + done, length - done, folded);
      crc = ~updateInstruction(0, folded, sizeof folded);
      done += copied;
    }
  }
  while (done < length) copyThenSum(std::min(kCopyBytes, length - done));
  return crc;
}

uint32_t crc32cJoin(uint32_t first, uint32_t second, size_t secondLength) {
  // The inversions at the start and the end of both cancel out.
  for (int k = 0; secondLength > 0; secondLength >>= 1, ++k) {
    if (secondLength & 1) first = multiplyCrc32c(kPowers[static_cast<size_t>(k)], first);
  }
  return first ^ second;
}

uint32_t crc32cInstruction(uint32_t seed, const void* data, size_t length) {
  const auto* p = static_cast<const uint8_t*>(data);
  return ~(kUseInstruction ? updateInstruction(~seed, p, length) : updatePortable(~seed, p, length));
}

uint32_t crc32cPortable(uint32_t seed, const void* data, size_t length) {
  return ~updatePortable(~seed, static_cast<const uint8_t*>(data), length);
}

const char* crc32cImplementation() { return kUseFolding ? "avx512" : kUseInstruction ? kInstructionName : "table"; }

}  // namespace kafabric
