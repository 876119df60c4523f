#include "direct/guarded_copy.h"

#include <setjmp.h>
#include <signal.h>

#include <algorithm>
#include <cstring>

#include "batch/crc32c.h"
#include "batch/crc32c_folding.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace kafabric::direct {

namespace {

/** The copy that a thread is making. */
struct Guarded {
  const uint8_t* start;
  size_t length;
  sigjmp_buf back;
};

thread_local Guarded* guardedCopy = nullptr;
struct sigaction before;

void onFault(int signal, siginfo_t* info, void* context) {
  const Guarded* copy = guardedCopy;
  auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  if (copy && at - reinterpret_cast<uintptr_t>(copy->start) < copy->length) siglongjmp(guardedCopy->back, 1);
  if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(signal, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(signal);
  else sigaction(signal, &before, nullptr);  // the instruction faults again
}

bool installHandler() {
  struct sigaction mine {};
  mine.sa_sigaction = onFault;
  // It is left by a jump: the signal must not stay blocked.
  mine.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&mine.sa_mask);
  return sigaction(SIGBUS, &mine, &before) == 0;
}

#ifdef __SANITIZE_THREAD__
constexpr int kRestoreSignals = 1;  // its own handler blocks all of them, whatever is asked for
#else
constexpr int kRestoreSignals = 0;
#endif

/** From so many bytes on, one pass that copies past the caches and sums is quicker than two that use them, unless the CPU cannot fold. */
constexpr size_t kOnePassBytes = size_t{8} << 10;
constexpr size_t kStepBytes = size_t{16} << 10;  // are still in the nearest cache when they are copied

#if defined(__x86_64__)
constexpr size_t kLine = 64;
constexpr size_t kAhead = 2048;
/** What is shorter is likely to be wanted from the caches. */
constexpr size_t kPastCachesBytes = size_t{64} << 10;

void copyPastCaches(uint8_t* to, const uint8_t* from, size_t length) {
  size_t head = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine;
  std::memcpy(to, from, head);
  size_t at = head;
  for (; at + kLine <= length; at += kLine) {
    __builtin_prefetch(from + at + kAhead);  // reads nothing there
    auto* source = reinterpret_cast<const __m128i*>(from + at);
    auto* target = reinterpret_cast<__m128i*>(to + at);
    __m128i first = _mm_loadu_si128(source);
    __m128i second = _mm_loadu_si128(source + 1);
    __m128i third = _mm_loadu_si128(source + 2);
    __m128i fourth = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, first);
    _mm_stream_si128(target + 1, second);
    _mm_stream_si128(target + 2, third);
    _mm_stream_si128(target + 3, fourth);
  }
  std::memcpy(to + at, from + at, length - at);
  _mm_sfence();
}
#else
constexpr size_t kPastCachesBytes = SIZE_MAX;
void copyPastCaches(uint8_t* to, const uint8_t* from, size_t length) { std::memcpy(to, from, length); }
#endif

}  // namespace

bool canGuardCopies() {
  static const bool installed = installHandler();
  return installed;
}

bool runGuarded(const uint8_t* start, size_t length, void (*copy)(void* context), void* context) {
  Guarded own;
  own.start = start;
  own.length = length;
  if (sigsetjmp(own.back, kRestoreSignals) != 0) {
    guardedCopy = nullptr;
    return false;
  }
  guardedCopy = &own;
  __asm__ volatile("" ::: "memory");  // the copy comes between
  copy(context);
  __asm__ volatile("" ::: "memory");
  guardedCopy = nullptr;
  return true;
}

void copyForOthers(uint8_t* to, const uint8_t* from, size_t length) {
  if (length < kPastCachesBytes) std::memcpy(to, from, length);
  else copyPastCaches(to, from, length);
}

uint32_t copyForOthers(uint8_t* to, const uint8_t* from, size_t length, uint32_t crc) {
  if (length >= kOnePassBytes && canFoldCrc32c()) return crc32cCopy(crc, to, from, length);
  for (size_t done = 0; done < length; done += kStepBytes) {
    size_t step = std::min(kStepBytes, length - done);
    crc = crc32c(crc, from + done, step);
    if (length < kPastCachesBytes) std::memcpy(to + done, from + done, step);
    else copyPastCaches(to + done, from + done, step);
  }
  return crc;
}

}  // namespace kafabric::direct
