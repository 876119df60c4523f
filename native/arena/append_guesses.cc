#include "arena/append_guesses.h"

#include <utility>

namespace kafabric {

namespace {

uint16_t moved(uint16_t position, uint64_t bytes) {
  return static_cast<uint16_t>((position + bytes) % AppendGuesses::kUnitBytes);
}

}  // namespace

/** Returns the place as it was. */
template <class Change>
AppendGuesses::Place AppendGuesses::change(uint64_t stream, Change change) {
  std::atomic<Place>& place = places_[stream % kPlaces];
  Place before = place.load(std::memory_order_relaxed);
  for (;;) {
    Place after = before;
    change(after);
    if (place.compare_exchange_weak(before, after, std::memory_order_relaxed)) return before;
  }
}

AppendGuesses::Guess AppendGuesses::guess(uint64_t stream, size_t offset, size_t length) const {
  Place now = places_[stream % kPlaces].load(std::memory_order_relaxed);
  return {stream, now.epoch, now.expected, false, offset, length};
}

void AppendGuesses::expect(const Guess& guess) {
  change(guess.stream, [&](Place& place) { place.expected = moved(place.expected, guess.length); });
}

void AppendGuesses::cancel(const Guess& guess) {
  change(guess.stream, [&](Place& place) { place.expected = moved(place.expected, 0 - guess.length); });
}

void AppendGuesses::arrive(Guess& guess) {
  Place before = change(guess.stream, [&](Place& place) { place.arrived = moved(place.arrived, guess.length); });
  guess.epoch = before.epoch;
  guess.position = before.arrived;
  guess.arrived = true;
}

void AppendGuesses::arrive(uint64_t stream, size_t length) {
  change(stream, [&](Place& place) {
    place.arrived = moved(place.arrived, length);
    place.expected = moved(place.expected, length);
  });
}

void AppendGuesses::learn(const Guess& guess, uint64_t position) {
  uint16_t error = moved(0, position - guess.position);
  if (error == 0) return;
  change(guess.stream, [&](Place& place) {
    if (place.epoch != guess.epoch) return;
    if (std::exchange(place.error, error) != error) return;
    ++place.epoch;
    place.error = 0;
    place.arrived = moved(place.arrived, error);
    place.expected = moved(place.expected, error);
  });
}

}  // namespace kafabric
