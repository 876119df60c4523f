// Record batches for tests.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "batch/bytes.h"
#include "batch/header.h"
#include "codec/codec.h"

namespace kafabric::test {

struct TestRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  int64_t timestampDelta = 0;
};

inline void appendVarint(std::string& out, int64_t value) {
  uint8_t bytes[10];
  out.append(reinterpret_cast<char*>(bytes), static_cast<size_t>(writeVarint(bytes, value) - bytes));
}

inline void appendBytes(std::string& out, const std::optional<std::string>& bytes) {
  appendVarint(out, bytes ? static_cast<int64_t>(bytes->size()) : -1);
  if (bytes) out += *bytes;
}

inline std::string recordsSection(const std::vector<TestRecord>& records) {
  std::string section;
  for (size_t i = 0; i < records.size(); ++i) {
    std::string body(1, '\0');
    appendVarint(body, records[i].timestampDelta);
    appendVarint(body, static_cast<int64_t>(i));
    appendBytes(body, records[i].key);
    appendBytes(body, records[i].value);
    appendVarint(body, static_cast<int64_t>(records[i].headers.size()));
    for (const auto& [name, value] : records[i].headers) {
      appendBytes(body, name);
      appendBytes(body, value);
    }
    appendVarint(section, static_cast<int64_t>(body.size()));
    section += body;
  }
  return section;
}

/** A batch around a records section that is compressed already, with the right length and CRC. */
inline std::vector<uint8_t> wrapBatch(const std::string& section, int count, Codec codec) {
  std::vector<uint8_t> batch(kBatchHeaderBytes + section.size(), 0);
  storeBe32(&batch[8], static_cast<uint32_t>(batch.size() - kBatchLogOverhead));
  storeBe32(&batch[12], 0xffffffff);
  batch[16] = 2;
  storeBe16(&batch[21], static_cast<uint16_t>(codec));
  storeBe32(&batch[23], static_cast<uint32_t>(count - 1));
  storeBe64(&batch[27], 1'700'000'000'000);
  storeBe64(&batch[35], 1'700'000'000'000);
  storeBe64(&batch[43], UINT64_MAX);
  storeBe16(&batch[51], 0xffff);
  storeBe32(&batch[53], 0xffffffff);
  storeBe32(&batch[57], static_cast<uint32_t>(count));
  std::copy(section.begin(), section.end(), batch.begin() + kBatchHeaderBytes);
  storeBatchCrc(batch.data(), batch.size());
  return batch;
}

inline std::vector<uint8_t> makeBatch(const std::vector<TestRecord>& records, Codec codec = Codec::none) {
  std::string section = recordsSection(records);
  ByteBuffer packed;
  compress(codec, reinterpret_cast<const uint8_t*>(section.data()), section.size(), packed);
  return wrapBatch(std::string(reinterpret_cast<const char*>(packed.data()), packed.size()),
                   static_cast<int>(records.size()), codec);
}

/** Reproducible records of all shapes. */
inline std::vector<TestRecord> randomRecords(std::mt19937& random, size_t count, size_t maxBytes) {
  auto text = [&](size_t limit) {
    std::string result(random() % (limit + 1), 'x');
    for (size_t i = 0; i < result.size(); i += 1 + random() % 4) result[i] = static_cast<char>(random());
    return result;
  };
  std::vector<TestRecord> records(count);
  for (TestRecord& record : records) {
    if (random() % 4) record.key = text(20);
    if (random() % 8) record.value = text(maxBytes);
    for (unsigned i = random() % 3; i > 0; --i)
      record.headers.emplace_back(text(5), random() % 2 ? std::optional(text(10)) : std::nullopt);
    record.timestampDelta = static_cast<int64_t>(random() % 1000) - 500;
  }
  return records;
}

}  // namespace kafabric::test
