// A stretch of the input is a polynomial that may be replaced by any other with the same remainder. So 128 bits are moved behind those that follow
// so many bits later by two products, one for each half, with what x to the power of that distance leaves; four registers of four such lanes
// go side by side. After V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction (Intel, 2009).
#include "batch/crc32c_folding.h"

#include "batch/crc32c_polynomial.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace kafabric {

#if defined(__x86_64__)

namespace {

constexpr size_t kLine = 64;
constexpr size_t kStep = 4 * kLine;
constexpr size_t kAhead = 2048;  // beyond a page the processor does not look ahead by itself

#define KAFABRIC_FOLD_TARGET __attribute__((target("avx512f,vpclmulqdq")))

// Both factors are in reflected notation, whose product is one bit too low: hence the 1. The first half is worth 64 bits more.
constexpr int64_t factor(uint32_t distance) { return static_cast<int64_t>(uint64_t{powerOfX(distance - 1)} << 32); }
constexpr int64_t firstFactor(size_t bytes) { return factor(static_cast<uint32_t>(8 * bytes + 64)); }
constexpr int64_t secondFactor(size_t bytes) { return factor(static_cast<uint32_t>(8 * bytes)); }

template <size_t Bytes>
KAFABRIC_FOLD_TARGET inline __m512i factors() {
  constexpr int64_t kFirst = firstFactor(Bytes);
  constexpr int64_t kSecond = secondFactor(Bytes);
  return _mm512_set_epi64(kSecond, kFirst, kSecond, kFirst, kSecond, kFirst, kSecond, kFirst);
}

/** Lines are read, and likely to be read again. */
struct Reading {
  KAFABRIC_FOLD_TARGET __m512i operator()(const uint8_t* p) const { return _mm512_loadu_si512(p); }
  /** Also behind the end: what is summed next mostly lies there. */
  static void prefetch(const uint8_t* p, const uint8_t*) { __builtin_prefetch(p); }
};

/** Lines are read, and what was read is written elsewhere. */
struct Copying {
  uint8_t* to;
  const uint8_t* from;

  KAFABRIC_FOLD_TARGET __m512i operator()(const uint8_t* p) const {
    __m512i line = _mm512_loadu_si512(p);
    __asm__ volatile("" : "+v"(line));  // not read a second time: others may change it meanwhile
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + (p - from)), line);
    return line;
  }
  /** Nobody here needs them again: they do not take the place of what is in the second cache. */
  static void prefetch(const uint8_t* p, const uint8_t* end) {
    if (p < end) __builtin_prefetch(p, 0, 0);
  }
};

/** Moves each lane of `sum` behind `next`. */
KAFABRIC_FOLD_TARGET inline __m512i fold(__m512i sum, __m512i by, __m512i next) {
  __m512i first = _mm512_clmulepi64_epi128(sum, by, 0x00);
  __m512i second = _mm512_clmulepi64_epi128(sum, by, 0x11);
  return _mm512_ternarylogic_epi64(first, second, next, 0x96);
}

template <typename Line>
KAFABRIC_FOLD_TARGET inline size_t foldLines(uint32_t state, const uint8_t* data, size_t length, uint8_t (&folded)[64], Line load) {
  const uint8_t* p = data;
  const uint8_t* end = data + length;
  __m512i start = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state)));
  __m512i a = _mm512_xor_si512(load(p), start);
  __m512i b = load(p + kLine);
  __m512i c = load(p + 2 * kLine);
  __m512i d = load(p + 3 * kLine);
  p += kStep;
  const __m512i step = factors<kStep>();
  for (; static_cast<size_t>(end - p) >= kStep; p += kStep) {
    for (size_t line = 0; line < kStep; line += kLine) Line::prefetch(p + kAhead + line, end);
    a = fold(a, step, load(p));
    b = fold(b, step, load(p + kLine));
    c = fold(c, step, load(p + 2 * kLine));
    d = fold(d, step, load(p + 3 * kLine));
  }
  const __m512i line = factors<kLine>();
  __m512i sum = fold(fold(fold(a, line, b), line, c), line, d);
  for (; static_cast<size_t>(end - p) >= kLine; p += kLine) sum = fold(sum, line, load(p));
  _mm512_storeu_si512(folded, sum);
  return static_cast<size_t>(p - data);
}

}  // namespace

bool canFoldCrc32c() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq"); }

KAFABRIC_FOLD_TARGET size_t foldCrc32c(uint32_t state, const uint8_t* data, size_t length, uint8_t (&folded)[64]) {
  return foldLines(state, data, length, folded, Reading{});
}

KAFABRIC_FOLD_TARGET size_t foldCopyCrc32c(uint32_t state, uint8_t* to, const uint8_t* from, size_t length,
                                           uint8_t (&folded)[64]) {
  size_t copied = foldLines(state, from, length, folded, Copying{to, from});
  _mm_sfence();
  return copied;
}

#else

bool canFoldCrc32c() { return false; }

size_t foldCrc32c(uint32_t, const uint8_t*, size_t, uint8_t (&)[64]) { return 0; }
size_t foldCopyCrc32c(uint32_t, uint8_t*, const uint8_t*, size_t, uint8_t (&)[64]) { return 0; }

#endif

}  // namespace kafabric
