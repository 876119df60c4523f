#include "direct/guarded_copy.h"

#include <setjmp.h>
#include <signal.h>

#include <cstring>

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

thread_local Guarded* guarded = nullptr;
struct sigaction before;

void onFault(int signal, siginfo_t* info, void* context) {
  const Guarded* copy = guarded;
  auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  if (copy && at - reinterpret_cast<uintptr_t>(copy->start) < copy->length) siglongjmp(guarded->back, 1);
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

/** Calls `copy`, which has nothing to destroy; false when it came upon memory of the range that is not there. */
template <typename Copy>
bool guard(const uint8_t* start, size_t length, Copy copy) {
  Guarded own;
  own.start = start;
  own.length = length;
  if (sigsetjmp(own.back, kRestoreSignals) != 0) {
    guarded = nullptr;
    return false;
  }
  guarded = &own;
  __asm__ volatile("" ::: "memory");  // the copy comes between
  copy();
  __asm__ volatile("" ::: "memory");
  guarded = nullptr;
  return true;
}

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

bool copyFromOthers(uint8_t* into, const uint8_t* from, size_t length) {
  return guard(from, length, [=] { std::memcpy(into, from, length); });
}

bool copyToOthers(uint8_t* to, const uint8_t* from, size_t length) {
  if (length < kPastCachesBytes) return guard(to, length, [=] { std::memcpy(to, from, length); });
  return guard(to, length, [=] { copyPastCaches(to, from, length); });
}

}  // namespace kafabric::direct
