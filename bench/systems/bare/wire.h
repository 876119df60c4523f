// As much of Kafka's wire format as the bare server needs: the old, not flexible, versions.
#pragma once

#include <endian.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

/** Reads a request; throws std::runtime_error where it ends too early. */
class Reader {
 public:
  Reader(const uint8_t* at, size_t length) : at_(at), end_(at + length) {}

  int8_t i8() { return static_cast<int8_t>(*skip(1)); }
  int16_t i16() { return static_cast<int16_t>(be16toh(load<uint16_t>())); }
  int32_t i32() { return static_cast<int32_t>(be32toh(load<uint32_t>())); }

  std::string string() {
    int16_t length = i16();
    return length < 0 ? std::string() : std::string(reinterpret_cast<const char*>(skip(length)), length);
  }

  const uint8_t* skip(size_t count) {
    if (count > static_cast<size_t>(end_ - at_)) throw std::runtime_error("a request ends too early");
    const uint8_t* from = at_;
    at_ += count;
    return from;
  }

 private:
  template <class T>
  T load() {
    T value;
    std::memcpy(&value, skip(sizeof value), sizeof value);
    return value;
  }

  const uint8_t* at_;
  const uint8_t* end_;
};

/** A response with its length in front. */
class Writer {
 public:
  explicit Writer(int32_t correlationId) {
    i32(0);
    i32(correlationId);
  }

  void i8(int8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void i16(int16_t value) { store(htobe16(static_cast<uint16_t>(value))); }
  void i32(int32_t value) { store(htobe32(static_cast<uint32_t>(value))); }
  void i64(int64_t value) { store(htobe64(static_cast<uint64_t>(value))); }

  void string(const std::string& value) {
    i16(static_cast<int16_t>(value.size()));
    bytes_ += value;
  }

  const std::string& finish() {
    uint32_t length = htobe32(static_cast<uint32_t>(bytes_.size() - 4));
    std::memcpy(bytes_.data(), &length, 4);
    return bytes_;
  }

 private:
  template <class T>
  void store(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string bytes_;
};
