#include "store/scan.h"

#include <cerrno>

#include "test/batches.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

/** A log: written by somebody else, and appended, so that some of it is still in memory. */
struct LogFile {
  StoreFixture fixture{true, size_t{4} << 20};
  std::string bytes;
  int files = 0;

  void add(const std::vector<uint8_t>& batch) { bytes.append(batch.begin(), batch.end()); }
  ScanResult scan(bool verifyCrc, uint64_t maxBytes = UINT64_MAX, size_t maxBatches = 1000, uint64_t position = 0) {
    ScanRange range{position, maxBytes, bytes.size(), maxBatches, verifyCrc, false};
    std::string name = std::to_string(++files);
    std::ofstream(fixture.path(name), std::ios::binary) << bytes;
    ScanResult result = scanBatches(fixture.store.reader(), *fixture.open(name), range);
    auto appended = fixture.open("appended-" + name);
    if (!bytes.empty()) CHECK(append(*appended, bytes).ok());
    ScanResult again = scanBatches(fixture.store.reader(), *appended, range);
    CHECK(result.status.ok() && again.status.ok());
    CHECK(result.reason == again.reason);
    CHECK_EQ(result.end, again.end);
    CHECK_EQ(result.batches.size(), again.batches.size());
    return result;
  }
};

std::vector<uint8_t> batchOf(size_t valueBytes) {
  TestRecord record;
  record.value = std::string(valueBytes, 'v');
  return makeBatch({record});
}

}  // namespace

TEST(scan_finds_batches_of_all_sizes) {
  LogFile file;
  std::vector<size_t> starts;
  for (size_t i = 0; i < 300; ++i) {
    starts.push_back(file.bytes.size());
    file.add(batchOf(i % 50 == 49 ? 700'000 : i * 37 % 3000));
  }
  for (bool verify : {false, true}) {
    ScanResult result = file.scan(verify);
    CHECK(result.reason == ScanEnd::endOfFile);
    CHECK_EQ(result.end, file.bytes.size());
    CHECK_EQ(result.batches.size(), starts.size());
    for (size_t i = 0; i < starts.size(); ++i) CHECK_EQ(result.batches[i].position, starts[i]);
  }
  CHECK_EQ(file.scan(false, starts[10], 1000).batches.size(), 10u);
  CHECK_EQ(file.scan(false, starts[10] + 1, 1000).batches.size(), 11u);
  ScanResult limited = file.scan(false, UINT64_MAX, 7);
  CHECK(limited.reason == ScanEnd::limit && limited.end == starts[7]);
  CHECK_EQ(file.scan(false, UINT64_MAX, 1, starts[5]).batches[0].position, starts[5]);
}

TEST(scan_of_memory_never_reads) {
  StoreFixture fixture{true, size_t{4} << 20};
  std::string bytes;
  for (int i = 0; i < 60; ++i) {
    std::vector<uint8_t> batch = batchOf(i % 20 == 19 ? 20'000 : 300);
    bytes.append(batch.begin(), batch.end());
  }
  std::ofstream(fixture.path(), std::ios::binary) << bytes;
  auto file = fixture.open();
  ScanRange range{0, UINT64_MAX, bytes.size(), 1000, false, true};
  auto scan = [&] { return scanBatches(fixture.store.reader(), *file, range); };
  CHECK_EQ(scan().status.error, EAGAIN);
  CHECK_EQ(fixture.store.counters().bytesRead, 0u);
  if (file->handle()->blockBytes() == 0) return;
  CHECK(fixture.readPieces(file, 0, bytes.size() - 1000).status.ok());
  WAIT_UNTIL(scan().status.ok());  // the rest was read ahead
  CHECK_EQ(scan().batches.size(), 60u);
  CHECK(scan().reason == ScanEnd::endOfFile);
  CHECK_EQ(scan().end, bytes.size());
}

TEST(scan_of_memory_ends_where_it_would_take_long) {
  StoreFixture fixture{true, size_t{4} << 20};
  std::string bytes;
  for (int i = 0; i < 100; ++i) {
    std::vector<uint8_t> batch = batchOf(300);
    bytes.append(batch.begin(), batch.end());
  }
  auto file = fixture.open();
  CHECK(append(*file, bytes).ok());
  ScanRange range{0, UINT64_MAX, bytes.size(), 1000, false, true};
  CHECK_EQ(scanBatches(fixture.store.reader(), *file, range).status.error, EAGAIN);
  range.maxBatches = 50;
  CHECK_EQ(scanBatches(fixture.store.reader(), *file, range).batches.size(), 50u);
}

TEST(scan_reads_little_more_than_the_headers_of_large_batches) {
  StoreFixture fixture{true, size_t{4} << 20};
  auto readFor = [&](size_t valueBytes, size_t count, uint64_t maxBytes) {
    std::vector<uint8_t> batch = batchOf(valueBytes);
    std::ofstream out(fixture.path(), std::ios::binary | std::ios::trunc);
    for (size_t i = 0; i < count; ++i) out.write(reinterpret_cast<const char*>(batch.data()), static_cast<std::streamsize>(batch.size()));
    out.close();
    uint64_t before = fixture.store.counters().bytesRead;
    ScanRange range{0, maxBytes, count * batch.size(), 1000, false, false};
    ScanResult result = scanBatches(fixture.store.reader(), *fixture.open(), range);
    CHECK_EQ(result.batches.size(), std::min<uint64_t>(count, (maxBytes + batch.size() - 1) / batch.size()));
    return fixture.store.counters().bytesRead - before;
  };
  CHECK(readFor(700'000, 10, 10 << 20) <= 10 * 4096);
  // Of small ones what is asked for, at once.
  CHECK(readFor(1000, 500, 50'000) <= 50'000 + 2 * 4096);
  CHECK(readFor(1000, 500, 50'000) >= 45'000);
}

TEST(scan_stops_where_the_log_is_damaged) {
  LogFile file;
  file.add(batchOf(100));
  file.add(batchOf(400'000));
  uint64_t good = file.bytes.size();
  std::string intact = file.bytes;

  file.bytes += std::string(70, 'x');
  CHECK(file.scan(false).reason == ScanEnd::corrupt && file.scan(false).end == good);
  file.bytes = intact + std::string(10, 'x');
  CHECK(file.scan(false).reason == ScanEnd::torn);
  file.bytes = intact + std::string(10, '\0');
  CHECK(file.scan(false).reason == ScanEnd::zeros);
  file.bytes = intact + std::string(600'000, '\0');
  CHECK(file.scan(true).reason == ScanEnd::zeros && file.scan(true).end == good);
  file.bytes.back() = 1;
  CHECK(file.scan(false).reason == ScanEnd::corrupt);
  file.bytes = intact.substr(0, good - 1);
  CHECK(file.scan(true).reason == ScanEnd::torn && file.scan(true).batches.size() == 1);
  file.bytes = intact;
  file.bytes[good - 10] ^= 1;
  CHECK(file.scan(false).reason == ScanEnd::endOfFile);
  CHECK(file.scan(true).reason == ScanEnd::corrupt && file.scan(true).batches.size() == 1);
  file.bytes.clear();
  CHECK(file.scan(true).reason == ScanEnd::endOfFile);
}
