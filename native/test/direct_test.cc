// Memory of clients: copies from and to it, and how it is handed over.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <thread>

#include "batch/check.h"
#include "batch/crc32c.h"
#include "direct/move.h"
#include "direct/region_socket.h"
#include "store/start_thread.h"
#include "test/batches.h"
#include "test/faults.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::direct;
using namespace kafabric::test;

namespace {

MemoryRef filled(Arena& arena, size_t bytes) {
  MemoryRef memory = arena.allocate(bytes);
  for (size_t i = 0; i < bytes; ++i) memory.data()[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return memory;
}

std::vector<uint8_t> selected(const MemoryRef& memory, const std::vector<Blocks>& blocks) {
  std::vector<uint8_t> bytes;
  for (const Blocks& part : blocks)
    for (size_t i = 0; i < part.count; ++i) {
      const uint8_t* block = memory.data() + part.offset + i * part.stride;
      bytes.insert(bytes.end(), block, block + part.block);
    }
  return bytes;
}

}  // namespace

TEST(direct_moves_blocks_to_a_region_and_back) {
  Arena arena(size_t{8} << 20);
  MemoryRef memory = filled(arena, size_t{3} << 20);
  auto region = std::make_shared<Region>(createShared(size_t{4} << 20), size_t{4} << 20);
  for (const std::vector<Blocks>& blocks : {std::vector<Blocks>{{5, 1, 1000, 1000}}, {{0, 300, 40, 4001}, {17, 3, 1, 1}},
                                            {{1, 1, (size_t{2} << 20) + 3, 1}}, {{9, 5, 300000, 300001}, {0, 2, 7, 100}},
                                            {{3, 4, 8191, 8200}, {70, 3, 8192, 9001}, {1, 2, 50000, 50003}, {2, 2, 65536, 65600}}}) {
    std::vector<uint8_t> expected = selected(memory, blocks);
    Move push{Move::Kind::kPush, memory, blocks, {}, region, 33};
    Moved pushed = perform(push);
    CHECK_EQ(pushed.error, 0);
    CHECK_EQ(pushed.crc, crc32c(0, expected.data(), expected.size()));
    MemoryRef back = arena.allocate(expected.size() + 10);
    Move pull{Move::Kind::kPull, back, {{10, 1, expected.size(), expected.size()}}, {}, region, 33};
    CHECK_EQ(perform(pull).crc, pushed.crc);
    CHECK(std::memcmp(back.data() + 10, expected.data(), expected.size()) == 0);
    MemoryRef target = arena.allocate(expected.size());
    CHECK_EQ(perform({Move::Kind::kGather, memory, blocks, target, nullptr, 0}).crc, pushed.crc);
    CHECK(std::memcmp(target.data(), expected.data(), expected.size()) == 0);
    CHECK_EQ(perform({Move::Kind::kCheck, memory, blocks, {}, nullptr, 0}).crc, pushed.crc);
  }
}

TEST(direct_moves_without_a_checksum_where_none_is_wanted) {
  Arena arena(size_t{1} << 20);
  MemoryRef memory = filled(arena, 100000);
  MemoryRef target = arena.allocate(100000);
  auto region = std::make_shared<Region>(createShared(100000), 100000);
  std::vector<Blocks> all{{0, 1, 100000, 100000}};
  CHECK_EQ(perform({Move::Kind::kPush, memory, all, {}, region, 0, false}).crc, 0u);
  CHECK_EQ(perform({Move::Kind::kPull, target, all, {}, region, 0, false}).crc, 0u);
  CHECK(std::memcmp(target.data(), memory.data(), 100000) == 0);
  MemoryRef gathered = arena.allocate(100000);
  CHECK_EQ(perform({Move::Kind::kGather, memory, all, gathered, nullptr, 0, false}).crc, 0u);
  CHECK(std::memcmp(gathered.data(), memory.data(), 100000) == 0);
}

TEST(direct_takes_batches_from_a_region_and_sums_them_on_the_way) {
  std::mt19937 random(7);
  Arena arena(size_t{16} << 20);
  for (int round = 0; round < 60; ++round) {
    std::vector<uint8_t> batch = makeBatch(randomRecords(random, 1 + random() % 5, round % 2 ? 150'000 : 3000));
    size_t ahead = random() % 200;
    auto region = std::make_shared<Region>(createShared(batch.size() + 100), batch.size() + 100);
    CHECK_EQ(region->write(batch.data(), batch.size(), 100), 0);
    MemoryRef memory = arena.allocate(ahead + batch.size());
    uint8_t* start = memory.data() + ahead;
    std::memcpy(start, batch.data(), batch.size());
    // Any parts of the records section, in order.
    KnownSums sums;
    for (size_t at = kBatchHeaderBytes + random() % 50; at < batch.size();) {
      size_t length = std::min<size_t>(1 + random() % 100'000, batch.size() - at);
      std::memset(start + at, 0, length);
      Move move{Move::Kind::kPull, memory, {{ahead + at, 1, length, length}}, {}, region, 100 + at, false};
      CHECK_EQ(pullSummed(move, start + kBatchHeaderBytes, sums), 0);
      at += length + random() % 300;
    }
    CHECK(std::memcmp(start, batch.data(), batch.size()) == 0);
    for (size_t referenceMinBytes : {size_t{0}, SIZE_MAX}) {
      CheckOptions options{0, SIZE_MAX};
      options.referenceMinBytes = referenceMinBytes;
      ByteBuffer scratch;
      BatchCheck plain = checkBatch(batch.data(), batch.size(), options, scratch);
      BatchCheck known = checkBatch(start, batch.size(), options, scratch, sums);
      CHECK(known.error == BatchError::none);
      CHECK(known.pieces == plain.pieces);
      CHECK_EQ(known.reference.size(), plain.reference.size());
      CHECK(std::memcmp(known.reference.data(), plain.reference.data(), plain.reference.size()) == 0);
    }
  }
}

TEST(direct_finds_out_that_a_client_has_changed_what_it_had_summed) {
  Arena arena(size_t{1} << 20);
  TestRecord record;
  record.value = std::string(200'000, 'v');
  std::vector<uint8_t> batch = makeBatch({record});
  size_t at = kBatchHeaderBytes + 20;
  size_t length = 190'000;
  auto region = std::make_shared<Region>(createShared(length), length);
  batch[at + 150'000] ^= 1;
  CHECK_EQ(region->write(batch.data() + at, length, 0), 0);
  MemoryRef memory = arena.allocate(batch.size());
  std::memcpy(memory.data(), batch.data(), batch.size());
  KnownSums sums;
  Move move{Move::Kind::kPull, memory, {{at, 1, length, length}}, {}, region, 0, false};
  CHECK_EQ(pullSummed(move, memory.data() + kBatchHeaderBytes, sums), 0);
  CheckOptions options{0, SIZE_MAX};
  options.referenceMinBytes = 0;
  ByteBuffer scratch;
  CHECK(checkBatch(memory.data(), batch.size(), options, scratch, sums).problem == BatchProblem::crc);
}

TEST(direct_region_has_to_keep_its_size) {
  Arena arena(size_t{1} << 20);
  int fd = memfd_create("test", MFD_ALLOW_SEALING);
  CHECK(ftruncate(fd, 100000) == 0);
  CHECK_EQ(checkRegion(fd, 100000), EPERM);
  int sealed = createShared(100000);
  CHECK_EQ(checkRegion(sealed, 100000), 0);
  CHECK_EQ(checkRegion(sealed, 100001), ERANGE);
  close(sealed);
  auto region = std::make_shared<Region>(dup(fd), 100000);
  CHECK(ftruncate(fd, 10) == 0);
  MemoryRef memory = arena.allocate(50000);
  CHECK_EQ(perform({Move::Kind::kPull, memory, {{0, 1, 50000, 50000}}, {}, region, 20}).error, EFAULT);
  CHECK_EQ(perform({Move::Kind::kPush, memory, {{0, 1, 40000, 40000}}, {}, region, 20}).error, EFAULT);
  // Past the caches, and on a thread of the addon.
  MemoryRef large = arena.allocate(70000);
  int error = 0;
  startThread("test", [&] { error = perform({Move::Kind::kPush, large, {{0, 1, 70000, 70000}}, {}, region, 20}).error; }).join();
  CHECK_EQ(error, EFAULT);
  KnownSums sums;
  CHECK_EQ(pullSummed({Move::Kind::kPull, memory, {{0, 1, 40000, 40000}}, {}, region, 20, false}, memory.data(), sums), EFAULT);
  // What is there again is copied again; holes are filled.
  CHECK(ftruncate(fd, 100000) == 0);
  CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100000) == 0);
  CHECK_EQ(perform({Move::Kind::kPush, large, {{0, 1, 70000, 70000}}, {}, region, 20}).error, 0);
  close(fd);
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK_EQ(checkRegion(ends[0], 1), EINVAL);
  close(ends[0]);
  close(ends[1]);
}

TEST(direct_region_is_made_also_while_its_process_is_stopped_and_goes_on) {
  FaultScope scope;
  faults.allocateInterruptions = 2;
  int fd = createShared(100'000);
  CHECK(fd >= 0);
  close(fd);
}

TEST(direct_region_of_huge_pages_is_given_back) {
  int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  if (fd < 0) return;  // this kernel has none
  CHECK_EQ(ftruncate(fd, off_t{64} << 20), 0);
  CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  CHECK_EQ(checkRegion(fd, 5000), 0);
  auto region = std::make_unique<Region>(fd, 5000);
  uint8_t* pages = region->pages();
  region.reset();
  // What is not mapped has no state.
  unsigned char state = 0;
  if (pages) CHECK(mincore(pages, 4096, &state) != 0);
}

TEST(direct_hands_memory_over_a_socket_that_knows_its_peer) {
  std::string name = "kafabric-test-" + std::to_string(getpid());
  int listening = listenAbstract(name);
  CHECK(listening >= 0);
  int shared = createShared(4096);
  RegionOffer offer{{1, 2, 3}, 4096};
  int64_t answer = 0;
  std::thread client([&] { answer = offerRegion(name, offer, shared, 5000); });
  Peer peer{};
  int socket = -EAGAIN;
  while (socket == -EAGAIN) socket = acceptPeer(listening, peer);
  CHECK(socket >= 0);
  CHECK_EQ(peer.uid, getuid());
  RegionOffer received{};
  int fd = -1;
  int error = EAGAIN;
  while (error == EAGAIN) error = receiveOffer(socket, received, fd);
  CHECK_EQ(error, 0);
  CHECK(received.token == offer.token && received.size == offer.size);
  CHECK_EQ(checkRegion(fd, received.size), 0);
  answerOffer(socket, 42);
  client.join();
  CHECK_EQ(answer, 42);
  for (int open : {fd, socket, shared, listening}) close(open);
  CHECK_EQ(offerRegion(name, offer, 0, 100), -ECONNREFUSED);
}
