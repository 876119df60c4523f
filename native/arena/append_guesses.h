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
 * Streams (partitions) are told apart by a hash and share a table of a fixed size. Of those that share a place, and of appends that take an
 * order other than that of their arrival, some are guessed wrong. Thread-safe, without locks.
 */
class AppendGuesses {
 public:
  /** Positions are guessed modulo this: the largest block of a device that is of use. */
  static constexpr size_t kUnitBytes = 4096;

  struct Guess {
    uint64_t stream = 0;
    uint32_t epoch = 0;
    uint32_t position = 0;  // below kUnitBytes
    size_t offset = 0;      // of the records in the frame
    size_t length = 0;      // of the records; 0: no guess
  };

  /** For `length` bytes at `offset` of a frame, which are taken to be appended behind those of the last guess. */
  Guess guess(uint64_t stream, size_t offset, size_t length);
  /** What was guessed about has been appended at `position`. */
  void learn(const Guess& guess, uint64_t position);

 private:
  static constexpr size_t kPlaces = size_t{1} << 14;
  /** The epoch in the upper half changes when a guess was wrong, so that others made from the same error do not correct it again. */
  std::atomic<uint64_t>& placeOf(uint64_t stream) { return places_[stream % kPlaces]; }

  std::array<std::atomic<uint64_t>, kPlaces> places_{};  // epoch, and the position where the next records are expected
};

}  // namespace kafabric
