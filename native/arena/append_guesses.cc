#include "arena/append_guesses.h"

namespace kafabric {

namespace {

uint64_t placeAt(uint32_t epoch, uint64_t position) {
  return uint64_t{epoch} << 32 | position % AppendGuesses::kUnitBytes;
}
uint32_t epochOf(uint64_t place) { return static_cast<uint32_t>(place >> 32); }
uint32_t positionOf(uint64_t place) { return static_cast<uint32_t>(place); }

}  // namespace

AppendGuesses::Guess AppendGuesses::guess(uint64_t stream, size_t offset, size_t length) {
  std::atomic<uint64_t>& place = placeOf(stream);
  uint64_t now = place.load(std::memory_order_relaxed);
  while (!place.compare_exchange_weak(now, placeAt(epochOf(now), positionOf(now) + length), std::memory_order_relaxed)) continue;
  return {stream, epochOf(now), positionOf(now), offset, length};
}

void AppendGuesses::learn(const Guess& guess, uint64_t position) {
  uint64_t error = (position - guess.position) % kUnitBytes;
  if (error == 0) return;
  std::atomic<uint64_t>& place = placeOf(guess.stream);
  uint64_t now = place.load(std::memory_order_relaxed);
  while (epochOf(now) == guess.epoch &&
         !place.compare_exchange_weak(now, placeAt(guess.epoch + 1, positionOf(now) + error), std::memory_order_relaxed)) {
    continue;
  }
}

}  // namespace kafabric
