// What compaction leaves unread, and what it takes from memory.
#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <random>

#include "compaction/compaction.h"
#include "compaction/live_offsets.h"
#include "compaction/segment_reader.h"
#include "test/batches.h"
#include "test/store_fixture.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kLargeValue = CheckedBatches::kMinBytes;

Bytes batchAt(int64_t offset, const std::string& key, size_t valueBytes) {
  Bytes batch = makeBatch({{key, std::string(valueBytes, 'v'), {}, 0}});
  storeBe64(&batch[0], static_cast<uint64_t>(offset));
  storeBatchCrc(batch.data(), batch.size());
  return batch;
}

/** A segment as a store has it: appended batch by batch, and on the device. */
struct Written {
  StoreFixture store{true, size_t{8} << 20};
  std::shared_ptr<StoreFile> file = store.open("a.log");
  std::vector<Bytes> batches;
  uint64_t size = 0;

  void append(Bytes batch) {
    Outcome outcome;
    file->append({{batch.data(), batch.size(), {}}}, {}, outcome.done());
    CHECK_EQ(outcome.wait().error, 0);
    size += batch.size();
    batches.push_back(std::move(batch));
  }
  SourceSegment segment(int64_t endOffset, bool open) const { return {store.path("a.log"), size, 0, endOffset, open ? file : nullptr}; }
  /** Changes a byte of a value on the device only. */
  void damage(size_t index) {
    uint64_t end = 0;
    for (size_t i = 0; i <= index; ++i) end += batches[i].size();
    int fd = ::open(store.path("a.log").c_str(), O_WRONLY);
    CHECK_EQ(::pwrite(fd, "x", 1, static_cast<off_t>(end - 10)), 1);
    ::close(fd);
  }
  CompactionOptions options(int64_t upperBound) {
    CompactionOptions result;
    result.nowMs = 1'800'000'000'000;
    result.upperBoundOffset = upperBound;
    result.mapSlots = 1000;
    result.maxKeys = 900;
    result.bufferBytes = 4096;
    result.cache = &store.store.cache();
    result.withSpace = [](const std::function<int()>& task) { return task(); };
    return result;
  }
  CleanResult clean(Compaction& compaction, const SourceSegment& segment) {
    compaction.setAborted({});
    return compaction.clean({segment}, {store.path("0"), 0, 1000, 4096, 1 << 20});
  }
  std::vector<Bytes> cleaned(uint64_t bytes) const {
    SourceSegment made{store.path("0.log.cleaned"), bytes, 0, 0};
    SegmentReading reading{4096, true};
    SegmentReader reader(made, reading);
    std::vector<Bytes> found;
    const uint8_t* batch = nullptr;
    BatchHeader header;
    while (reader.next(batch, header)) found.emplace_back(batch, batch + header.sizeBytes());
    CHECK_EQ(reader.status().message, "");
    return found;
  }
};

}  // namespace

TEST(compaction_live_offsets_say_what_the_map_says) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    OffsetMap map(100'000, 90'000);
    std::map<uint64_t, int64_t> model;
    int64_t first = static_cast<int64_t>(random() % 1000);
    int64_t last = first + static_cast<int64_t>(random() % 300);
    for (int64_t offset = first; offset <= last + 5; ++offset) {
      uint64_t key = random() % 100;
      CHECK(map.put({key << 56, key}, offset));
      model[key] = offset;
    }
    LiveOffsets live;
    CHECK(!live.covers(first, first));
    live.fill(map, first, last, static_cast<size_t>(last - first) / 8 + 1);
    CHECK(live.covers(first, last));
    CHECK(!live.covers(first - 1, last));
    CHECK(!live.covers(first, last + 1));
    auto isLive = [&](int64_t offset) {
      return std::any_of(model.begin(), model.end(), [&](const auto& entry) { return entry.second == offset; });
    };
    for (int64_t offset = first; offset <= last; ++offset) CHECK_EQ(live.has(offset), isLive(offset));
    for (int i = 0; i < 100; ++i) {
      int64_t from = first + static_cast<int64_t>(random() % static_cast<uint64_t>(last - first + 1));
      int64_t to = from + static_cast<int64_t>(random() % static_cast<uint64_t>(last - from + 1));
      bool any = false;
      for (int64_t offset = from; offset <= to; ++offset) any = any || isLive(offset);
      CHECK_EQ(live.any(from, to), any);
    }
  }
}

TEST(compaction_live_offsets_stay_empty_where_they_would_take_too_much) {
  OffsetMap map(100, 90);
  LiveOffsets live;
  live.fill(map, 0, 8 * 1024, 1024);
  CHECK(!live.covers(0, 0));
}

TEST(compaction_maps_keep_their_keys_while_they_grow) {
  std::mt19937_64 random(3);
  OffsetMap map(300'000, 200'000);
  std::vector<KeyHash> keys;
  for (int64_t offset = 0; offset < 200'000; ++offset) {
    keys.push_back({random(), random()});
    CHECK(map.put(keys.back(), offset));
  }
  CHECK(!map.put({random(), random()}, 1));
  for (size_t i = 0; i < keys.size(); ++i) CHECK_EQ(map.get(keys[i]), static_cast<int64_t>(i));
  int64_t sum = 0;
  map.eachOffset([&](int64_t offset) { sum += offset; });
  CHECK_EQ(sum, int64_t{200'000} * 199'999 / 2);
}

TEST(compaction_takes_from_memory_what_is_there) {
  Written log;
  for (int64_t offset = 0; offset < 40; ++offset) log.append(batchAt(offset, "k" + std::to_string(offset), 100 + 977 * static_cast<size_t>(offset)));
  for (size_t i = 0; i < 40; ++i) log.damage(i);
  IoThrottle throttle;
  Compaction compaction(log.options(40), throttle);
  SourceSegment segment = log.segment(40, true);
  CHECK_EQ(compaction.map({segment}, 0, {}).status.message, "");
  CleanResult result = log.clean(compaction, segment);
  CHECK_EQ(result.status.message, "");
  CHECK(log.cleaned(result.size) == log.batches);
}

TEST(compaction_reads_from_the_device_what_memory_has_lost) {
  Written log;
  for (int64_t offset = 0; offset < 40; ++offset) log.append(batchAt(offset, "k" + std::to_string(offset), 100 + 977 * static_cast<size_t>(offset)));
  uint64_t half = log.size / 2;
  log.store.store.cache().cut(log.file->cached(), half);
  IoThrottle throttle;
  SourceSegment segment = log.segment(40, true);
  {
    Compaction compaction(log.options(40), throttle);
    CHECK_EQ(compaction.map({segment}, 0, {}).status.message, "");
    CleanResult result = log.clean(compaction, segment);
    CHECK_EQ(result.status.message, "");
    CHECK(log.cleaned(result.size) == log.batches);
  }
  log.damage(39);
  Compaction compaction(log.options(40), throttle);
  CHECK_EQ(compaction.map({segment}, 0, {}).status.error, EBADMSG);
}

TEST(compaction_does_not_read_large_batches_again_of_which_nothing_is_left) {
  Written log;
  for (int64_t offset = 0; offset < 20; ++offset) log.append(batchAt(offset, offset < 15 ? "same" : "k" + std::to_string(offset), kLargeValue));
  IoThrottle throttle;
  Compaction compaction(log.options(20), throttle);
  SourceSegment segment = log.segment(20, false);
  CHECK_EQ(compaction.map({segment}, 0, {}).status.message, "");
  // Whoever read them would find it.
  for (size_t i = 0; i < 14; ++i) log.damage(i);
  CleanResult result = log.clean(compaction, segment);
  CHECK_EQ(result.status.message, "");
  CHECK_EQ(result.recordsRead, 20u);
  CHECK_EQ(result.recordsKept, 6u);
  CHECK(result.bytesRead < log.size / 2);
  CHECK(log.cleaned(result.size) == std::vector<Bytes>(log.batches.begin() + 14, log.batches.end()));
}
