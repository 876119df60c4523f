// Memory on the heap that direct I/O accepts.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace kafabric {

/** No block that direct I/O asks for is larger; a start that is a multiple of it suits all. */
constexpr size_t kMaxBlockBytes = 4096;

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<uint8_t[], FreeMemory>;

/** `bytes` is a multiple of the block; the content is undefined. Throws std::bad_alloc. */
inline AlignedMemory allocateAligned(size_t bytes) {
  void* memory = nullptr;
  if (::posix_memalign(&memory, kMaxBlockBytes, bytes) != 0) throw std::bad_alloc();
  return AlignedMemory(static_cast<uint8_t*>(memory));
}

/** Such memory, and how much. */
struct AlignedBuffer {
  AlignedMemory memory;
  size_t capacity = 0;

  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes) : memory(allocateAligned(bytes)), capacity(bytes) {}
};

inline uint64_t roundDown(uint64_t value, uint64_t block) { return value / block * block; }
inline uint64_t roundUp(uint64_t value, uint64_t block) { return (value + block - 1) / block * block; }

}  // namespace kafabric
