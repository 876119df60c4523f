// A growing byte buffer that leaves its memory uninitialised and can be used again.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace kafabric {

class ByteBuffer {
 public:
  ByteBuffer() = default;
  ByteBuffer(ByteBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  ByteBuffer& operator=(ByteBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~ByteBuffer() { std::free(data_); }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }

  /** Room for `bytes` more behind the content; throws std::bad_alloc. Returns its address. */
  uint8_t* reserve(size_t bytes) {
    if (capacity_ - size_ < bytes) grow(size_ + bytes);
    return data_ + size_;
  }
  /** Makes `bytes` of what was reserved part of the content. */
  void commit(size_t bytes) { size_ += bytes; }
  void append(const void* bytes, size_t length) {
    if (length == 0) return;
    std::memcpy(reserve(length), bytes, length);
    size_ += length;
  }
  void clear() { size_ = 0; }
  /** Forgets the content, and gives the memory back when it has become larger than `keepBytes`. */
  void recycle(size_t keepBytes) {
    size_ = 0;
    if (capacity_ <= keepBytes) return;
    std::free(std::exchange(data_, nullptr));
    capacity_ = 0;
  }

 private:
  void grow(size_t needed) {
    size_t wanted = capacity_ * 2 > needed ? capacity_ * 2 : needed;
    auto* moved = static_cast<uint8_t*>(std::realloc(data_, wanted));
    if (!moved) throw std::bad_alloc();
    data_ = moved;
    capacity_ = wanted;
  }

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace kafabric
