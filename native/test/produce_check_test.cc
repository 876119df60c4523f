#include "batch/produce_check.h"

#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "batch/crc32c.h"
#include "batch/reference.h"
#include "test/batch_checks.h"
#include "test/batches.h"
#include "test/net_server.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

using Batches = std::vector<std::vector<uint8_t>>;

/** A Produce request as clients write it, and where the records in it are. */
struct ProduceFrame {
  std::string bytes;
  std::vector<RecordsRange> ranges;

  /** `topics` with the records of their partitions; empty records are written as null. */
  ProduceFrame(int version, const std::vector<Batches>& topics) : version_(version) {
    number(0, 2);
    number(static_cast<uint64_t>(version), 2);
    number(77, 4);
    plainString("client");
    tags();
    number(flexible() ? 0 : 0xffff, flexible() ? 1 : 2);  // no transactional id
    number(0xffff, 2);
    number(30'000, 4);
    count(topics.size());
    for (const Batches& partitions : topics) {
      if (version_ >= 13) bytes.append(16, 'i');
      else if (flexible()) compactString("topic");
      else plainString("topic");
      count(partitions.size());
      for (const auto& records : partitions) partition(records);
      tags();
    }
    tags();
  }

 private:
  bool flexible() const { return version_ >= 9; }
  void number(uint64_t value, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
    bytes.push_back(static_cast<char>(value));
  }
  void plainString(const std::string& text) {
    number(text.size(), 2);
    bytes += text;
  }
  void compactString(const std::string& text) {
    varint(text.size() + 1);
    bytes += text;
  }
  void count(size_t elements) { flexible() ? varint(elements + 1) : number(elements, 4); }
  /** An unknown one, so that skipping is tested. */
  void tags() {
    if (!flexible()) return;
    varint(1);
    varint(200);
    compactString("ignored");
    bytes[bytes.size() - 8] = 7;
  }
  void partition(const std::vector<uint8_t>& records) {
    number(3, 4);
    if (flexible()) varint(records.empty() ? 0 : records.size() + 1);
    else number(records.empty() ? 0xffffffff : records.size(), 4);
    if (!records.empty()) ranges.push_back({bytes.size(), records.size()});
    bytes.append(records.begin(), records.end());
    tags();
  }

  int version_;
};

/** In a block of its own size, so that the address sanitizer sees any read behind the end. */
struct Exact {
  explicit Exact(const std::string& bytes) : data(new uint8_t[bytes.size()]), length(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), data.get());
  }
  std::unique_ptr<uint8_t[]> data;
  size_t length;
};

std::vector<RecordsRange> find(const std::string& bytes, size_t maxRanges = 100) {
  Exact exact(bytes);
  PartitionRecords found[3];
  locateRecords(exact.data.get(), exact.length / 2, exact.length, found, 3);
  locateRecords(exact.data.get(), exact.length, exact.length + 100, found, 3);
  auto ranges = findProducedRecords(exact.data.get(), exact.length, maxRanges);
  for (const RecordsRange& range : ranges) {
    CHECK(range.length > 0 && range.offset <= exact.length && range.length <= exact.length - range.offset);
  }
  return ranges;
}

bool same(const std::vector<RecordsRange>& a, const std::vector<RecordsRange>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const RecordsRange& one, const RecordsRange& other) {
    return one.offset == other.offset && one.length == other.length;
  });
}

std::vector<uint8_t> bytesOf(size_t size) { return std::vector<uint8_t>(size, 'r'); }

const std::vector<Batches> kTopics = {{bytesOf(1), {}, bytesOf(300)}, {}, {bytesOf(70'000)}};

void checkSame(const BatchCheck& found, const BatchCheck& expected) {
  checkSameFindings(found, expected);
  CHECK_EQ(found.position, expected.position);
  CHECK_EQ(found.reference.size(), expected.reference.size());
  CHECK(found.reference.size() == 0 ||
        std::memcmp(found.reference.data(), expected.reference.data(), found.reference.size()) == 0);
}

CheckOptions randomOptions(std::mt19937& random) {
  CheckOptions options{1 << 20, random() % 8 ? SIZE_MAX : 500};
  options.requireKeys = random() % 4 == 0;
  options.createTime = random() % 4;
  options.nowMs = 1'700'000'000'000;
  options.timestampBeforeMaxMs = random() % 2 ? 450 : INT64_MAX;
  options.timestampAfterMaxMs = random() % 2 ? 450 : INT64_MAX;
  options.referenceMinBytes = random() % 2 ? random() % 200 : SIZE_MAX;
  return options;
}

}  // namespace

TEST(produced_records_are_found_in_all_versions) {
  for (int version = 3; version <= 13; ++version) {
    ProduceFrame frame(version, kTopics);
    CHECK_EQ(frame.ranges.size(), 3u);
    CHECK(same(find(frame.bytes), frame.ranges));
    CHECK_EQ(find(frame.bytes, 2).size(), 2u);
  }
  for (int version : {0, 2, 14, 0x7fff, 0x8003}) CHECK(find(ProduceFrame(version, kTopics).bytes).empty());
  std::string fetch = ProduceFrame(9, kTopics).bytes;
  fetch[1] = 1;
  CHECK(find(fetch).empty());
}

TEST(the_first_records_are_found_in_the_beginning_of_a_frame) {
  auto first = [](const std::string& bytes, size_t available) {
    Exact exact(bytes.substr(0, available));
    std::optional<PartitionRecords> found(std::in_place);
    if (locateRecords(exact.data.get(), exact.length, bytes.size(), &*found, 1) == 0) found.reset();
    return found;
  };
  for (int version = 3; version <= 13; ++version) {
    ProduceFrame frame(version, kTopics);
    RecordsRange expected = frame.ranges[0];
    auto found = first(frame.bytes, frame.bytes.size());
    CHECK(found && found->range.offset == expected.offset && found->range.length == expected.length);
    auto early = first(frame.bytes, expected.offset);
    CHECK(early && early->range.offset == expected.offset && early->partitionHash == found->partitionHash);
    for (size_t available = 0; available < expected.offset; ++available) CHECK(!first(frame.bytes, available));
    std::string other = frame.bytes;
    other[expected.offset - (version >= 9 ? 2 : 5)] ^= 1;  // the partition
    CHECK(first(other, other.size())->partitionHash != found->partitionHash);
    CHECK(first(ProduceFrame(version, {{{}, bytesOf(9)}}).bytes, frame.bytes.size()));
    CHECK(!first(ProduceFrame(version, {{{}, {}}}).bytes, frame.bytes.size()));
    std::string shorter = frame.bytes.substr(0, expected.offset);
    CHECK(!first(shorter, shorter.size()));  // the records would end behind the frame
  }
  for (int version : {0, 2, 14}) CHECK(!first(ProduceFrame(version, kTopics).bytes, 1000));
}

TEST(all_records_are_found_with_their_partitions) {
  for (int version = 3; version <= 13; ++version) {
    ProduceFrame frame(version, kTopics);
    const auto* bytes = reinterpret_cast<const uint8_t*>(frame.bytes.data());
    PartitionRecords found[10];
    CHECK_EQ(locateRecords(bytes, frame.bytes.size(), frame.bytes.size(), found, 10), frame.ranges.size());
    for (size_t i = 0; i < frame.ranges.size(); ++i) {
      CHECK(found[i].range.offset == frame.ranges[i].offset && found[i].range.length == frame.ranges[i].length);
      CHECK_EQ(found[i].partitionHash, found[0].partitionHash);  // the frame names the same one each time
    }
    CHECK_EQ(locateRecords(bytes, frame.bytes.size(), frame.bytes.size(), found, 2), 2u);
  }
}

TEST(produced_records_of_truncated_and_random_frames_stay_inside) {
  std::mt19937 random(19);
  for (int version = 3; version <= 13; ++version) {
    ProduceFrame frame(version, {{bytesOf(5), {}, bytesOf(30)}, {bytesOf(200)}});
    size_t lastRecord = frame.ranges.back().offset + frame.ranges.back().length;
    for (size_t length = 0; length < lastRecord; ++length) CHECK(find(frame.bytes.substr(0, length)).empty());
    for (int round = 0; round < 5000; ++round) {
      std::string damaged = frame.bytes;
      for (unsigned changes = 1 + random() % 4; changes > 0; --changes)
        damaged[4 + random() % (damaged.size() - 4)] = static_cast<char>(random() % 2 ? random() : 0xff);
      if (random() % 4 == 0) damaged.resize(random() % damaged.size());
      find(damaged, 1 + random() % 4);
    }
    for (int round = 0; round < 5000; ++round) {
      std::string noise = frame.bytes.substr(0, 8);
      for (size_t size = random() % 60; size > 0; --size) noise.push_back(static_cast<char>(random() % 3 ? random() % 4 : random()));
      find(noise);
    }
  }
}

TEST(a_frames_check_finds_what_a_check_by_the_topics_rules_finds) {
  std::mt19937 random(23);
  ProduceChecker checker;
  int taken = 0;
  for (int round = 0; round < 2000; ++round) {
    Batches partitions;
    for (size_t count = 1 + random() % 4; count > 0; --count) {
      auto batch = makeBatch(randomRecords(random, 1 + random() % 6, 300), random() % 8 ? Codec::none : Codec::zstd);
      if (random() % 8 == 0) batch[random() % batch.size()] ^= 1;
      if (random() % 8 == 0) batch.push_back(0);
      partitions.push_back(std::move(batch));
    }
    ProduceFrame frame(3 + static_cast<int>(random() % 11), {partitions});
    Exact exact(frame.bytes);
    checker.setReferenceMinBytes(random() % 2 ? random() % 200 : SIZE_MAX);
    auto checked = checker.check(exact.data.get(), exact.length);
    if (!checked) continue;
    CheckOptions options = randomOptions(random);
    for (const RecordsRange& range : frame.ranges) {
      BatchCheck found;
      CHECK(!checked->take(exact.data.get(), {range.offset + 1, range.length - 1}, options, found));
      CHECK(!checked->take(exact.data.get(), {range.offset, range.length - 1}, options, found));
      if (!checked->take(exact.data.get(), range, options, found)) continue;
      ++taken;
      ByteBuffer scratch;
      checkSame(found, checkBatch(exact.data.get() + range.offset, range.length, options, scratch));
      CHECK(!checked->take(exact.data.get(), range, options, found));
    }
  }
  CHECK(taken > 500);
}

TEST(a_frames_check_leaves_what_is_long_to_others) {
  ProduceChecker checker;
  checker.setReferenceMinBytes(1);
  auto check = [&](const std::vector<Batches>& topics) {
    Exact exact(ProduceFrame(9, topics).bytes);
    return checker.check(exact.data.get(), exact.length);
  };
  TestRecord large;
  large.value = std::string(ProduceChecker::kMaxFrameBytes - 200, 'v');
  CHECK(check({{makeBatch({large})}}));
  large.value->append(200, 'v');
  CHECK(!check({{makeBatch({large})}}));
  large.value = "v";
  large.key = std::string(ProduceChecker::kMaxReferenceBytes, 'k');
  CHECK(!check({{makeBatch({large})}}));  // keys are in the reference batch
  large.key = "k";
  std::vector<Batches> many(1, Batches(ProduceChecker::kMaxBatches + 1, makeBatch({large})));
  ProduceFrame frame(9, many);
  Exact exact(frame.bytes);
  auto checked = checker.check(exact.data.get(), exact.length);
  BatchCheck found;
  CheckOptions options{0, SIZE_MAX};
  for (size_t i = 0; i < frame.ranges.size(); ++i)
    CHECK_EQ(checked->take(exact.data.get(), frame.ranges[i], options, found), i < ProduceChecker::kMaxBatches);
}

TEST(net_sums_a_frame_while_it_arrives) {
  ProduceChecker checker;
  checker.setReferenceMinBytes(1000);
  std::vector<uint8_t> bytes;
  std::atomic<size_t> summed{0};
  std::atomic<int> asExpected{0};
  Options settings = options();
  settings.partSums = {ProduceChecker::sumsFrom, [](const uint8_t* part, size_t length) { return crc32c(0, part, length); }, kExtentPieceBytes};
  settings.checkFrame = [&](const uint8_t* frame, size_t length, const std::vector<FramePart>& parts) -> std::shared_ptr<void> {
    KnownSums known;
    for (const FramePart& part : parts) {
      CHECK_EQ(part.sum, crc32c(0, part.start, part.length));
      known.add(part.start, part.length, part.sum);
      summed += part.length;
    }
    auto ranges = findProducedRecords(frame, length, 1);
    BatchCheck with;
    BatchCheck without;
    CheckOptions options{0, SIZE_MAX};
    options.referenceMinBytes = 1000;
    bool found = checker.check(frame, length, known)->take(frame, ranges[0], options, with) &&
                 checker.check(frame, length)->take(frame, ranges[0], options, without);
    asExpected += found && with.pieces == without.pieces && with.reference.size() == without.reference.size() &&
                  std::memcmp(with.reference.data(), without.reference.data(), with.reference.size()) == 0;
    return nullptr;
  };
  Server server(settings);
  server.start();
  TestRecord record;
  record.value = std::string(5'000'000, 'v');
  ProduceFrame request(9, {{makeBatch({record})}});
  put32(bytes, static_cast<uint32_t>(request.bytes.size()));
  bytes.insert(bytes.end(), request.bytes.begin(), request.bytes.end());
  Client client(server.port);
  for (int round = 1; round <= 3; ++round) {
    client.send(bytes);
    CHECK_EQ(client.read().size(), request.bytes.size());
    CHECK_EQ(asExpected.load(), round);
    CHECK_EQ(summed.load(), static_cast<size_t>(round) * (5'000'000 / kExtentPieceBytes) * kExtentPieceBytes);
  }
  server.end();
}

TEST(net_hands_over_what_the_frame_check_found) {
  ProduceChecker checker;
  Options settings = options();
  settings.checkFrame = [&](const uint8_t* frame, size_t length, const std::vector<FramePart>&) -> std::shared_ptr<void> {
    return checker.check(frame, length);
  };
  Server server(settings);
  std::atomic<int> found{0};
  std::weak_ptr<void> last;
  server.onChecked = [&](const std::shared_ptr<void>& checked) {
    CHECK(!std::static_pointer_cast<CheckedFrame>(checked)->empty());
    ++found;
    last = checked;
  };
  server.start();
  TestRecord record;
  record.value = std::string(50'000, 'v');
  ProduceFrame request(9, {{makeBatch({record}), makeBatch({record, record})}});
  std::vector<uint8_t> bytes;
  put32(bytes, static_cast<uint32_t>(request.bytes.size()));
  bytes.insert(bytes.end(), request.bytes.begin(), request.bytes.end());
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      Client client(server.port);
      for (int round = 0; round < 20; ++round) {
        checker.setReferenceMinBytes(round % 2 ? 1000 : SIZE_MAX);
        client.send(bytes);
        CHECK_EQ(client.read().size(), request.bytes.size());
        client.send(frame(100'000, 0));  // large, and nothing to be found in it
        CHECK_EQ(client.read().size(), 100'000u);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  server.end();
  CHECK_EQ(found.load(), 80);
  CHECK(last.expired());
}
