#include "compaction/compaction.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "batch/check.h"
#include "batch/crc32c.h"
#include "batch/reference.h"
#include "batch/restore.h"
#include "compaction/segment_reader.h"
#include "test/batches.h"
#include "test/store_fixture.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr Codec kAllCodecs[] = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};
constexpr int64_t kNow = 1'800'000'000'000;
constexpr int64_t kRetention = 1000;

using Bytes = std::vector<uint8_t>;

/** A batch at an offset, of a producer if one is given. */
Bytes at(int64_t offset, Bytes batch, int64_t producerId = -1, uint16_t attributes = 0) {
  storeBe64(&batch[0], static_cast<uint64_t>(offset));
  storeBe64(&batch[43], static_cast<uint64_t>(producerId));
  storeBe16(&batch[21], static_cast<uint16_t>(loadBe16(&batch[21]) | attributes));
  storeBatchCrc(batch.data(), batch.size());
  return batch;
}

Bytes marker(int64_t offset, int64_t producerId, bool commit) {
  std::string key("\0\0\0\0", 4);
  key[3] = commit ? 1 : 0;
  return at(offset, makeBatch({{key, std::string(6, '\0'), {}, 0}}), producerId, kTransactionalBit | kControlBit);
}

/** A record as a reader finds it. */
struct Found {
  int64_t offset;
  std::optional<std::string> key;
  std::optional<std::string> value;
  int64_t timestamp;
};

std::vector<Found> recordsOf(const uint8_t* batch) {
  BatchHeader header = BatchHeader::read(batch);
  CHECK_EQ(crc32c(0, batch + kBatchCrcStart, header.sizeBytes() - kBatchCrcStart), header.crc);
  ByteBuffer scratch;
  std::vector<Found> found;
  eachRecord(openRecords(batch, header, scratch), header, [&](const Record& record) {
    auto text = [](const uint8_t* bytes, int32_t length) -> std::optional<std::string> {
      if (!bytes) return std::nullopt;
      return std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
    };
    found.push_back({header.baseOffset + record.offsetDelta, text(record.key, record.keyLength), text(record.value, record.valueLength),
                     timestampOf(record, header)});
    return true;
  });
  return found;
}

/** What is kept of one batch, when the map says that `superseded` keys come again later. */
struct Filtering {
  OffsetMap map{100, 90};
  LiveOffsets live;
  KeyHasher hasher{1, 2};
  int64_t windowMs = 0;
  int64_t nowMs = kNow;
  ByteBuffer scratch;
  ByteBuffer out;
  FilteredBatch result;

  void supersede(const std::string& key) {
    map.put(hasher(reinterpret_cast<const uint8_t*>(key.data()), key.size(), 0), 1'000'000);
  }
  bool run(const Bytes& batch, const BatchFate& fate = {}) {
    FilterRules rules{map, hasher, live, 2'000'000, nowMs, kRetention, windowMs};
    out.clear();
    result = filterBatch(batch.data(), BatchHeader::read(batch.data()), fate, rules, scratch, out);
    CHECK_EQ(result.bytes, out.size());
    return result.bytes > 0;
  }
  BatchHeader header() const { return BatchHeader::read(out.data()); }
};

struct Directory {
  std::string path = makeDirectory();
  ~Directory() { std::filesystem::remove_all(path); }
  std::set<std::string> files() const {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path)) found.insert(entry.path().filename());
    return found;
  }
};

SourceSegment writeSegment(const Directory& directory, const std::string& name, const std::vector<Bytes>& batches, int64_t endOffset) {
  std::string path = directory.path + "/" + name;
  std::ofstream file(path, std::ios::binary);
  uint64_t size = 0;
  for (const Bytes& batch : batches) {
    file.write(reinterpret_cast<const char*>(batch.data()), static_cast<std::streamsize>(batch.size()));
    size += batch.size();
  }
  return {path, size, 0, endOffset};
}

CompactionOptions options(int64_t upperBound) {
  CompactionOptions result;
  result.nowMs = kNow;
  result.deleteRetentionMs = kRetention;
  result.upperBoundOffset = upperBound;
  result.mapSlots = 1000;
  result.maxKeys = 900;
  result.bufferBytes = 4096;
  result.withSpace = [](const std::function<int()>& task) { return task(); };
  return result;
}

std::vector<Bytes> readSegment(const std::string& path, uint64_t size) {
  std::vector<Bytes> batches;
  SourceSegment segment{path, size, 0, 0};
  SegmentReading reading{4096, true};
  SegmentReader reader(segment, reading);
  const uint8_t* batch = nullptr;
  BatchHeader header;
  while (reader.next(batch, header)) batches.emplace_back(batch, batch + header.sizeBytes());
  CHECK_EQ(reader.status().message, "");
  return batches;
}

/** The reference batch of a batch, located in segment 3 at 4096. */
Bytes referenceOf(const Bytes& batch) {
  BatchHeader header = BatchHeader::read(batch.data());
  ByteBuffer scratch;
  ByteBuffer out;
  RecordsSection section = openRecords(batch.data(), header, scratch);
  buildReferenceTemplate(batch.data(), section.bytes, section.length, out);
  CHECK(locateReference(out.data(), out.size(), batch.data(), {0, 3, 4096}));
  return Bytes(out.data(), out.data() + out.size());
}

}  // namespace

TEST(key_hashes_agree_with_siphash_and_tell_keys_and_windows_apart) {
  KeyHasher hasher(0x0706050403020100u, 0x0f0e0d0c0b0a0908u);
  std::set<std::pair<uint64_t, uint64_t>> seen;
  std::string key;
  for (int length = 0; length < 70; ++length, key += static_cast<char>(length)) {
    for (int64_t window : {int64_t{0}, int64_t{1}, int64_t{-1}}) {
      KeyHash hash = hasher(reinterpret_cast<const uint8_t*>(key.data()), key.size(), window);
      CHECK(seen.emplace(hash.low, hash.high).second);
      CHECK(hash == hasher(reinterpret_cast<const uint8_t*>(key.data()), key.size(), window));
    }
  }
  CHECK(!(KeyHasher()(nullptr, 0, 0) == KeyHasher()(nullptr, 0, 0)));
}

TEST(offset_maps_hold_as_many_keys_as_they_may) {
  std::mt19937_64 random(1);
  OffsetMap map(100, 95);
  std::map<std::pair<uint64_t, uint64_t>, int64_t> model;
  for (int64_t offset = 0; offset < 5000; ++offset) {
    KeyHash key{random() % 40 << 58 | random() % 4, random() % 2};
    bool fits = model.count({key.low, key.high}) > 0 || model.size() < 95;
    CHECK_EQ(map.put(key, offset), fits);
    if (fits) model[{key.low, key.high}] = offset;
  }
  CHECK_EQ(map.size(), model.size());
  CHECK_EQ(map.size(), size_t{95});
  for (const auto& [key, offset] : model) CHECK_EQ(map.get({key.first, key.second}), offset);
  CHECK_EQ(map.get({1, 77}), -1);
}

TEST(filter_keeps_a_batch_as_it_is_when_nothing_goes) {
  for (Codec codec : kAllCodecs) {
    Filtering filtering;
    Bytes batch = at(5, makeBatch({{"a", "1", {}, 0}, {"b", "2", {{"h", "v"}}, 7}}, codec));
    CHECK(filtering.run(batch));
    CHECK(Bytes(filtering.out.data(), filtering.out.data() + filtering.out.size()) == batch);
    CHECK_EQ(filtering.result.recordsKept, 2u);
  }
}

TEST(filter_writes_batches_of_every_codec_anew) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    Codec codec = kAllCodecs[round % 5];
    std::vector<TestRecord> records = randomRecords(random, 1 + random() % 20, 300);
    Bytes batch = at(100, makeBatch(records, codec), 9);
    std::vector<Found> expected;
    Filtering filtering;
    for (TestRecord& record : records)
      if (record.key && random() % 2) filtering.supersede(*record.key);
    bool tombstones = false;
    for (const Found& record : recordsOf(batch.data())) {
      if (!record.key || filtering.map.get(filtering.hasher(reinterpret_cast<const uint8_t*>(record.key->data()), record.key->size(), 0)) >= 0) continue;
      tombstones = tombstones || !record.value;
      expected.push_back(record);
    }
    CHECK_EQ(filtering.run(batch), !expected.empty());
    if (expected.empty()) continue;
    BatchHeader header = filtering.header();
    BatchHeader original = BatchHeader::read(batch.data());
    CHECK_EQ(header.baseOffset, 100);
    CHECK_EQ(header.lastOffsetDelta, original.lastOffsetDelta);
    CHECK_EQ(header.producerId, 9);
    CHECK_EQ(header.compression(), static_cast<int>(codec));
    CHECK_EQ((header.attributes & kDeleteHorizonBit) != 0, tombstones);
    if (tombstones) CHECK_EQ(header.baseTimestamp, kNow + kRetention);
    std::vector<Found> found = recordsOf(filtering.out.data());
    CHECK_EQ(found.size(), expected.size());
    int64_t newest = -1;
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK_EQ(found[i].offset, expected[i].offset);
      CHECK(found[i].key == expected[i].key);
      CHECK(found[i].value == expected[i].value);
      CHECK_EQ(found[i].timestamp, expected[i].timestamp);
      newest = std::max(newest, found[i].timestamp);
    }
    if (found.size() < records.size()) {
      CHECK_EQ(header.maxTimestamp, newest);
      if (!tombstones) CHECK_EQ(header.baseTimestamp, found[0].timestamp);
    }
    // What was written anew once stays as it is until the tombstones' time is over.
    Bytes first(filtering.out.data(), filtering.out.data() + filtering.out.size());
    CHECK(filtering.run(first));
    CHECK(Bytes(filtering.out.data(), filtering.out.data() + filtering.out.size()) == first);
    filtering.nowMs = kNow + kRetention;
    filtering.run(first);
    CHECK_EQ(filtering.result.recordsKept, static_cast<uint32_t>(std::count_if(expected.begin(), expected.end(), [](const Found& r) { return r.value.has_value(); })));
  }
}

TEST(filter_keeps_the_time_of_the_append) {
  for (Codec codec : kAllCodecs) {
    Bytes batch = makeBatch({{"a", "1", {}, 0}, {"b", "2", {}, 500}, {"c", std::nullopt, {}, 9}}, codec);
    storeBe64(&batch[kBatchMaxTimestampAt], kNow - 7);
    batch = at(100, batch, -1, kLogAppendTimeBit);
    Filtering filtering;
    filtering.supersede("c");
    filtering.supersede("a");
    CHECK(filtering.run(batch));
    CHECK_EQ(filtering.header().baseTimestamp, kNow - 7);
    CHECK_EQ(filtering.header().maxTimestamp, kNow - 7);
    CHECK_EQ(filtering.header().attributes & kLogAppendTimeBit, kLogAppendTimeBit);
    CHECK_EQ(recordsOf(filtering.out.data()).at(0).timestamp, kNow - 7);
    // A tombstone's horizon is in the base timestamp; the time of its append is still that of the batch.
    Filtering other;
    other.supersede("a");
    CHECK(other.run(batch));
    CHECK_EQ(other.header().baseTimestamp, kNow + kRetention);
    CHECK_EQ(other.header().maxTimestamp, kNow - 7);
    ByteBuffer scratch;
    eachRecord(openRecords(other.out.data(), other.header(), scratch), other.header(), [&](const Record& record) {
      CHECK_EQ(record.timestampDelta, -7 - kRetention);
      return true;
    });
  }
}

TEST(filter_keeps_the_header_of_an_emptied_batch_if_it_must) {
  for (Codec codec : kAllCodecs) {
    Filtering filtering;
    filtering.supersede("a");
    Bytes batch = at(100, makeBatch({{"a", "1", {}, 0}, {"a", "2", {}, 0}}, codec), 9, kTransactionalBit);
    CHECK(!filtering.run(batch));
    CHECK(filtering.run(batch, {false, true, false}));
    CHECK_EQ(filtering.out.size(), kBatchHeaderBytes);
    BatchHeader header = filtering.header();
    CHECK_EQ(header.attributes, kTransactionalBit);
    CHECK_EQ(header.recordCount, 0);
    CHECK_EQ(header.lastOffsetDelta, 1);
    CHECK_EQ(header.baseTimestamp, -1);
    CHECK_EQ(header.maxTimestamp, BatchHeader::read(batch.data()).maxTimestamp);
    CHECK(recordsOf(filtering.out.data()).empty());
    Bytes empty(filtering.out.data(), filtering.out.data() + filtering.out.size());
    CHECK(!filtering.run(empty));
    CHECK(filtering.run(empty, {false, true, false}));
    CHECK(filtering.run(batch, {false, true, false, true}));
    header = filtering.header();
    CHECK_EQ(header.attributes, 0);
    CHECK_EQ(header.producerId, -1);
    CHECK_EQ(header.producerEpoch, -1);
    CHECK_EQ(header.baseSequence, -1);
    CHECK_EQ(header.lastOffsetDelta, 1);
    CHECK(recordsOf(filtering.out.data()).empty());
  }
}

TEST(filter_refuses_damaged_records) {
  Filtering filtering;
  Bytes batch = makeBatch({{"a", "1", {}, 0}});
  storeBe32(&batch[57], 2);
  bool refused = false;
  try {
    filtering.run(batch);
  } catch (const DamagedBatch&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(filter_removes_records_from_reference_batches_and_says_when_the_payload_is_nobodys) {
  for (Codec codec : kAllCodecs) {
    Bytes made = makeBatch({{"a", "first", {}, 0}, {"b", "second", {{"h", "v"}}, 5}, {"c", std::nullopt, {}, 6}}, codec);
    storeBe64(&made[kBatchMaxTimestampAt], loadBe64(&made[kBatchBaseTimestampAt]) + 6);
    Bytes original = at(100, made);
    Bytes reference = referenceOf(original);
    Filtering filtering;
    CHECK(filtering.run(reference));
    CHECK(Bytes(filtering.out.data(), filtering.out.data() + filtering.out.size()) == reference);  // its tombstone has no time yet
    filtering.supersede("a");
    CHECK(filtering.run(reference));
    CHECK(!filtering.result.lostPayload);
    CHECK_EQ(filtering.header().attributes, kReferenceBit);
    CHECK_EQ(filtering.header().maxTimestamp, BatchHeader::read(original.data()).maxTimestamp);
    // What consumers get of it.
    ByteBuffer scratch;
    ByteBuffer restored;
    restoreBatch(filtering.out.data(), filtering.out.size(), original.data() + kBatchHeaderBytes, original.size() - kBatchHeaderBytes, scratch, restored);
    CHECK_EQ(restored.size(), restoredBytes(filtering.out.data(), filtering.out.size()));
    std::vector<Found> found = recordsOf(restored.data());
    CHECK_EQ(found.size(), size_t{2});
    CHECK_EQ(found[0].offset, 101);
    CHECK_EQ(*found[0].value, "second");
    CHECK(!found[1].value);
    CHECK_EQ(BatchHeader::read(restored.data()).attributes, 0);
    CHECK_EQ(BatchHeader::read(restored.data()).sizeBytes(), restored.size());
    // Its header still has the time of what is gone; what consumers get does not.
    Filtering other;
    for (const char* key : {"a", "c"}) other.supersede(key);
    CHECK(other.run(reference));
    restored.clear();
    restoreBatch(other.out.data(), other.out.size(), original.data() + kBatchHeaderBytes, original.size() - kBatchHeaderBytes, scratch, restored);
    CHECK_EQ(BatchHeader::read(restored.data()).maxTimestamp, recordsOf(restored.data()).at(0).timestamp);
    CHECK(BatchHeader::read(restored.data()).maxTimestamp < BatchHeader::read(reference.data()).maxTimestamp);
    // With the last value goes the payload; the tombstone's time begins.
    filtering.supersede("b");
    CHECK(filtering.run(reference));
    CHECK(filtering.result.lostPayload);
    CHECK_EQ(filtering.result.payload.segmentId, 3u);
    CHECK_EQ(filtering.result.payload.position, 4096u);
    CHECK_EQ(filtering.result.payload.length, original.size() - kBatchHeaderBytes);
    CHECK_EQ(filtering.result.payload.baseOffset, 100);
    CHECK_EQ(filtering.header().attributes, kDeleteHorizonBit);
    filtering.supersede("c");
    CHECK(!filtering.run(reference));
    CHECK(filtering.result.lostPayload);
  }
}

TEST(restoring_refuses_payload_of_another_batch) {
  Bytes original = makeBatch({{"a", std::string(1000, 'x'), {}, 0}});
  Bytes reference = referenceOf(original);
  ByteBuffer scratch;
  ByteBuffer out;
  for (size_t length : {size_t{0}, size_t{500}}) {
    bool refused = false;
    try {
      restoreBatch(reference.data(), reference.size(), original.data() + kBatchHeaderBytes, length, scratch, out);
    } catch (const CodecError&) {
      refused = true;
    }
    CHECK(refused);
  }
  CHECK_EQ(restoredBytes(reference.data(), reference.size() - 1), size_t{0});
  CHECK_EQ(restoredBytes(original.data(), original.size()), size_t{0});
}

TEST(compaction_writes_a_segment_with_indexes) {
  Directory directory;
  IoThrottle throttle;
  std::vector<Bytes> batches;
  for (int64_t i = 0; i < 300; ++i)
    batches.push_back(at(i, makeBatch({{"k" + std::to_string(i % 100), std::string(200, 'v'), {}, i}}, kAllCodecs[i % 5])));
  std::vector<SourceSegment> segments = {
      writeSegment(directory, "1.log", {batches.begin(), batches.begin() + 150}, 150),
      writeSegment(directory, "2.log", {batches.begin() + 150, batches.end()}, 305),
  };
  Compaction compaction(options(305), throttle);
  MapResult mapped = compaction.map(segments, 0, {});
  CHECK_EQ(mapped.status.message, "");
  CHECK_EQ(mapped.endOffset, 305);
  compaction.setAborted({});
  CleanResult cleaned = compaction.clean(segments, {directory.path + "/0", 0, 1'700'000'000'123, 1000, 1 << 20});
  CHECK_EQ(cleaned.status.message, "");
  CHECK_EQ(cleaned.recordsRead, 300u);
  CHECK_EQ(cleaned.recordsKept, 100u);
  std::vector<Bytes> kept = readSegment(directory.path + "/0.log.cleaned", cleaned.size);
  CHECK_EQ(kept.size(), size_t{100});
  for (size_t i = 0; i < kept.size(); ++i) CHECK(kept[i] == batches[200 + i]);
  std::ifstream index(directory.path + "/0.index.cleaned", std::ios::binary);
  std::string entries((std::istreambuf_iterator<char>(index)), {});
  CHECK(entries.size() >= 8 * 10 && entries.size() % 8 == 0);
  for (size_t i = 0; i < entries.size(); i += 8) {
    auto* entry = reinterpret_cast<const uint8_t*>(entries.data()) + i;
    uint32_t position = loadBe32(entry + 4);
    uint64_t at = 0;
    size_t batch = 0;
    for (; at < position; ++batch) at += kept[batch].size();
    CHECK_EQ(at, position);
    CHECK_EQ(loadBe32(entry), 200 + batch);
  }
  CHECK_EQ(directory.files().size(), size_t{5});
}

TEST(compaction_stops_and_leaves_nothing_behind) {
  Directory directory;
  IoThrottle throttle;
  std::vector<SourceSegment> segments = {writeSegment(directory, "1.log", {at(0, makeBatch({{"a", "1", {}, 0}}))}, 1)};
  Compaction compaction(options(1), throttle);
  CHECK(compaction.map(segments, 0, {}).status.ok());
  compaction.setAborted({});
  compaction.stop();
  CHECK_EQ(compaction.clean(segments, {directory.path + "/0", 0, 0, 4096, 1 << 20}).status.error, ECANCELED);
  CHECK_EQ(directory.files().size(), size_t{1});
}

TEST(compaction_refuses_damage) {
  Directory directory;
  IoThrottle throttle;
  Bytes batch = at(0, makeBatch({{"a", "1", {}, 0}}));
  batch.back() ^= 1;
  std::vector<SourceSegment> segments = {writeSegment(directory, "1.log", {batch}, 1)};
  CHECK_EQ(Compaction(options(1), throttle).map(segments, 0, {}).status.error, EBADMSG);
  segments[0].size += 10;
  CHECK_EQ(Compaction(options(1), throttle).map(segments, 0, {}).status.error, EBADMSG);
  segments[0].path += ".gone";
  CHECK_EQ(Compaction(options(1), throttle).map(segments, 0, {}).status.error, ENOENT);
}

TEST(compaction_leaves_out_what_was_aborted_and_keeps_markers_that_are_needed) {
  Directory directory;
  IoThrottle throttle;
  std::vector<SourceSegment> segments = {writeSegment(directory, "1.log",
                                                      {
                                                          at(0, makeBatch({{"a", "kept", {}, 0}})),
                                                          at(1, makeBatch({{"a", "aborted", {}, 0}}), 7, kTransactionalBit),
                                                          at(2, makeBatch({{"b", "committed", {}, 0}}), 8, kTransactionalBit),
                                                          marker(3, 7, false),
                                                          marker(4, 8, true),
                                                          marker(5, 9, true),
                                                          at(6, makeBatch({{"z", "end", {}, 0}})),
                                                      },
                                                      7)};
  std::vector<AbortedTransaction> aborted = {{7, 1, 3, 1}};
  Compaction compaction(options(7), throttle);
  CHECK(compaction.map(segments, 0, aborted).status.ok());
  compaction.setAborted(aborted);
  CleanResult cleaned = compaction.clean(segments, {directory.path + "/0", 0, 0, 4096, 1 << 20});
  CHECK_EQ(cleaned.status.message, "");
  CHECK_EQ(cleaned.aborted.size(), size_t{1});
  CHECK_EQ(cleaned.aborted[0].lastOffset, 3);
  std::vector<int64_t> offsets;
  for (const Bytes& batch : readSegment(directory.path + "/0.log.cleaned", cleaned.size)) {
    BatchHeader header = BatchHeader::read(batch.data());
    offsets.push_back(header.baseOffset);
    // Of the transaction of 9 there is nothing left: the time of its marker runs.
    CHECK_EQ((header.attributes & kDeleteHorizonBit) != 0, header.baseOffset == 5);
  }
  CHECK((offsets == std::vector<int64_t>{0, 2, 3, 4, 5, 6}));
}

TEST(the_throttle_holds_back_and_lets_go) {
  IoThrottle throttle;
  std::atomic<bool> stop{false};
  throttle.spend(size_t{1} << 40, stop);  // no limit
  throttle.setRate(1);
  std::thread other([&] { stop = true; });
  throttle.spend(size_t{1} << 40, stop);  // ends because it is stopped
  other.join();
  stop = false;
  std::atomic<bool> done{false};
  std::thread waiting([&] {
    throttle.spend(1, stop);
    done = true;
  });
  throttle.setRate(0);
  waiting.join();
  CHECK(done);
}

TEST(the_throttle_counts_nothing_of_before_it_was_changed) {
  IoThrottle throttle;
  std::atomic<bool> stop{true};
  throttle.setRate(1);
  throttle.spend(size_t{1} << 40, stop);
  stop = false;
  throttle.setRate(1e12);
  throttle.spend(1, stop);  // or nothing moves for a day
}
