// Copies from and to memory that other processes own, and of which pages may turn out not to be there: SIGBUS for whoever touches them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric::direct {

/** Whether such copies can be made: the process's handler of SIGBUS is set by the first call. Other faults go to the handler that was there before. */
bool canGuardCopies();

/**
 * Calls `copy(context)`, on a thread that does not block SIGBUS; false when it came upon memory of the range that is not there, and was left there: it
 * must have nothing to destroy.
 */
bool runGuarded(const uint8_t* start, size_t length, void (*copy)(void* context), void* context);

/** The same for anything that can be called. */
template <typename Copy>
bool guarded(const uint8_t* start, size_t length, Copy copy) {
  return runGuarded(start, length, [](void* context) { (*static_cast<Copy*>(context))(); }, &copy);
}

/**
 * A copy for another process. What is long goes past the caches: it would push out what this one needs. That takes half of the time.
 */
void copyForOthers(uint8_t* to, const uint8_t* from, size_t length);

/** The same, with the CRC-32C of what is copied, continuing from `crc`; `from` does not change meanwhile. */
uint32_t copyForOthers(uint8_t* to, const uint8_t* from, size_t length, uint32_t crc);

/**
 * Has the beginning of what is copied next brought into the caches, while something else is copied: it lies elsewhere, and the processor would wait for
 * it. Reads nothing.
 */
inline void expectCopy(const uint8_t* from, size_t length) {
  constexpr size_t kBeginning = 1024;
  constexpr size_t kLine = 64;
  for (size_t at = 0; at < length && at < kBeginning; at += kLine) __builtin_prefetch(from + at);
}

}  // namespace kafabric::direct
