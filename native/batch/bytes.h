// Big-endian integers at unaligned addresses, and Kafka's zig-zag varints. The caller has checked the bounds.
#pragma once

#include <cstdint>
#include <cstring>

namespace kafabric {

inline uint16_t loadBe16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, 2);
  return __builtin_bswap16(v);
}
inline uint32_t loadBe32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return __builtin_bswap32(v);
}
inline uint64_t loadBe64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}
inline void storeBe16(uint8_t* p, uint16_t v) {
  v = __builtin_bswap16(v);
  std::memcpy(p, &v, 2);
}
inline void storeBe32(uint8_t* p, uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, 4);
}
inline void storeBe64(uint8_t* p, uint64_t v) {
  v = __builtin_bswap64(v);
  std::memcpy(p, &v, 8);
}

/**
 * Reads a varint of at most `maxBytes` (5 for int32, 10 for int64) and advances `p`; false when it is longer
 * or runs past `end`. Bits beyond the type are dropped, as Kafka does.
 */
inline bool readUnsignedVarint(const uint8_t*& p, const uint8_t* end, int maxBytes, uint64_t& value) {
  uint64_t result = 0;
  for (int i = 0; i < maxBytes && p < end; ++i) {
    uint8_t byte = *p++;
    result |= uint64_t{byte & 0x7fu} << (7 * i);
    if (!(byte & 0x80)) {
      value = result;
      return true;
    }
  }
  return false;
}

inline bool readVarint(const uint8_t*& p, const uint8_t* end, int32_t& value) {
  if (p < end && !(*p & 0x80)) {  // one byte: most lengths and deltas
    value = static_cast<int32_t>(*p >> 1) ^ -static_cast<int32_t>(*p & 1);
    ++p;
    return true;
  }
  uint64_t wide = 0;
  if (!readUnsignedVarint(p, end, 5, wide)) return false;
  auto raw = static_cast<uint32_t>(wide);
  value = static_cast<int32_t>((raw >> 1) ^ (~(raw & 1) + 1));
  return true;
}

inline bool readVarlong(const uint8_t*& p, const uint8_t* end, int64_t& value) {
  uint64_t raw = 0;
  if (!readUnsignedVarint(p, end, 10, raw)) return false;
  value = static_cast<int64_t>((raw >> 1) ^ (~(raw & 1) + 1));
  return true;
}

inline uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

/** Bytes that the varint or varlong of `value` takes: 1 to 10. */
inline int varintSize(int64_t value) {
  int bits = 64 - __builtin_clzll(zigzag(value) | 1);
  return (bits + 6) / 7;
}

/** Writes the varint of `value` and returns the address behind it. */
inline uint8_t* writeVarint(uint8_t* p, int64_t value) {
  uint64_t raw = zigzag(value);
  for (; raw >= 0x80; raw >>= 7) *p++ = static_cast<uint8_t>(raw | 0x80);
  *p++ = static_cast<uint8_t>(raw);
  return p;
}

}  // namespace kafabric
