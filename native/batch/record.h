// Walks the records of an uncompressed records section, checking each one as Kafka's DefaultRecord.readFrom does, except
// that -1 is the only negative length: Kafka takes any for null, but librdkafka never gets past such a record.
#pragma once

#include <cstddef>
#include <cstdint>

#include "batch/bytes.h"

namespace kafabric {

/** What is wrong with a record; the order is part of the TypeScript face (batch-errors.ts). */
enum class RecordFault : uint8_t {
  none = 0,
  size,         // the record's size does not fit in the section, or does not match its content
  varint,       // an unreadable varint, or a length that runs past the record
  headerCount,  // negative, or more than the bytes left could hold
  headerKey,    // a header without a key
};

struct Record {
  uint8_t attributes;
  int32_t offsetDelta;
  int64_t timestampDelta;
  const uint8_t* key;  // null when the record has no key
  int32_t keyLength;
  const uint8_t* value;  // null when the value is null
  int32_t valueLength;
  const uint8_t* headers;  // the header count and all headers, as they are
  size_t headersLength;
};

class RecordCursor {
 public:
  RecordCursor(const uint8_t* section, size_t length) : at_(section), end_(section + length) {}

  bool atEnd() const { return at_ == end_; }
  /** Behind the last record that was read. */
  const uint8_t* position() const { return at_; }

  /** Reads the next record; its pointers are into the section. After a fault the cursor is of no further use. */
  RecordFault next(Record& record) {
    int32_t size = 0;
    if (!readVarint(at_, end_, size)) return RecordFault::varint;
    if (size < 0 || size > end_ - at_) return RecordFault::size;
    const uint8_t* end = at_ + size;
    if (at_ == end) return RecordFault::varint;
    record.attributes = *at_++;
    if (!readVarlong(at_, end, record.timestampDelta) || !readVarint(at_, end, record.offsetDelta) ||
        !readBytes(end, record.key, record.keyLength) || !readBytes(end, record.value, record.valueLength))
      return RecordFault::varint;
    record.headers = at_;
    RecordFault fault = skipHeaders(end);
    if (fault != RecordFault::none) return fault;
    record.headersLength = static_cast<size_t>(at_ - record.headers);
    return at_ == end ? RecordFault::none : RecordFault::size;
  }

 private:
  /** A length and as many bytes; -1 means null. */
  bool readBytes(const uint8_t* end, const uint8_t*& bytes, int32_t& length) {
    if (!readVarint(at_, end, length) || length < -1 || length > end - at_) return false;
    bytes = length < 0 ? nullptr : at_;
    if (length > 0) at_ += length;
    return true;
  }

  RecordFault skipHeaders(const uint8_t* end) {
    int32_t count = 0;
    if (!readVarint(at_, end, count)) return RecordFault::varint;
    if (count < 0 || count > end - at_) return RecordFault::headerCount;
    for (; count > 0; --count) {
      const uint8_t* bytes = nullptr;
      int32_t length = 0;
      if (!readBytes(end, bytes, length)) return RecordFault::varint;
      if (length < 0) return RecordFault::headerKey;
      if (!readBytes(end, bytes, length)) return RecordFault::varint;
    }
    return RecordFault::none;
  }

  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace kafabric
