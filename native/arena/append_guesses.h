// Guesses where in their file the next records of a partition will be appended, before anybody has appended them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kafabric {

/**
 * Direct I/O writes memory from where it is only if its address suits its position in the file. Records that are received are usually appended
 * behind the last ones of their partition: so memory for them can be taken at an address that will suit. A wrong guess costs a copy.
 *
 * Records are appended in the order in which they have arrived as a whole, so that two places are kept of each stream: behind what has arrived, and
 * behind that and all that has its memory. Who overtakes others, and what comes without memory of its own, moves no later guess then; where the file
 * is otherwise than expected (a new segment, records that were refused) is learnt when two in a row are appended as far from where they were expected.
 *
 * Streams (partitions) are told apart by a hash and share a table of a fixed size. Those that share a place, and records that overtake, are
 * guessed wrong. Thread-safe, without locks.
 */
class AppendGuesses {
 public:
  /** Positions are guessed modulo this: the largest block of a device that is of use. */
  static constexpr size_t kUnitBytes = 4096;

  struct Guess {
    uint64_t stream = 0;
    uint16_t epoch = 0;
    uint16_t position = 0;  // below kUnitBytes
    bool arrived = false;
    size_t offset = 0;      // of the records in the frame
    size_t length = 0;      // of the records; 0: no guess
  };

  /** For `length` bytes at `offset` of a frame that has no memory yet; changes nothing. */
  Guess guess(uint64_t stream, size_t offset, size_t length) const;
  /** There is memory for the guess: later records are expected behind these. */
  void expect(const Guess& guess);
  /** What has been expected will not arrive. */
  void cancel(const Guess& guess);
  /** What has been expected is there: it is appended before what arrives later. */
  void arrive(Guess& guess);
  /** Records have arrived that nobody expected. */
  void arrive(uint64_t stream, size_t length);
  /** What has arrived has been appended at `position`. */
  void learn(const Guess& guess, uint64_t position);

 private:
  static constexpr size_t kPlaces = size_t{1} << 14;
  /** The epoch changes when the place of what has arrived was wrong, so that others made from the same error do not correct it again. */
  struct Place {
    uint16_t epoch;
    uint16_t error;     // the last one of this epoch, 0 for none: one alone may be of records that were appended out of turn
    uint16_t arrived;   // where what arrives next is expected
    uint16_t expected;  // where what gets memory next is
  };
  template <class Change>
  Place change(uint64_t stream, Change change);

  std::array<std::atomic<Place>, kPlaces> places_{};
};

}  // namespace kafabric
