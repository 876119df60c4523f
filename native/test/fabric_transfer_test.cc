// Transfers between two processes, over every provider that works without a card.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>

#include "fabric/library.h"
#include "test/fabric_fixture.h"

using namespace kafabric;
using namespace kafabric::fabric;
using namespace kafabric::test;

namespace {

constexpr uint64_t kPiece = 64 << 10;

BulkLimits smallPieces() {
  BulkLimits limits;
  limits.pieceBytes = kPiece;
  return limits;
}

}  // namespace

PROVIDER_TEST(fabric_moves_ranges_of_every_size) {
  Store store(provider, 4 * kPiece, smallPieces());
  Target target(*store.transport, 4 * kPiece);
  uint64_t seed = 1;
  for (uint64_t length : {uint64_t{0}, uint64_t{1}, kPiece - 1, kPiece, kPiece + 1, 3 * kPiece}) {
    for (uint64_t offset : {uint64_t{0}, uint64_t{7}}) {
      fillPattern(target.memory.data(), target.memory.size(), ++seed);
      fillZero(store.memory.data(), store.memory.size());
      IoStatus status = store.transfer(Direction::kRead, target.peer, {target.range(store.memory.data() + 3, length, offset)});
      CHECK_EQ(status.message, "");
      CHECK(isPattern(store.memory.data() + 3, length, seed, offset));
      CHECK_EQ(store.memory.data()[3 + length], 0);

      fillPattern(store.memory.data(), store.memory.size(), ++seed);
      fillZero(target.memory.data(), target.memory.size());
      status = store.transfer(Direction::kWrite, target.peer, {target.range(store.memory.data() + 5, length, offset)});
      CHECK_EQ(status.message, "");
      CHECK(isPattern(target.memory.data() + offset, length, seed, 5));
      CHECK_EQ(target.memory.data()[offset + length], 0);
    }
  }
  TransferStatistics total = store.transport->total();
  CHECK_EQ(total.requests, 24u);
  CHECK_EQ(total.errors, 0u);
  CHECK_EQ(total.bytesRead, total.bytesWritten);
  CHECK_EQ(total.bytesRead, 2 * (1 + 3 * kPiece + 3 * kPiece));
  CHECK_EQ(target.process.join(), 0);
}

PROVIDER_TEST(fabric_gathers_and_scatters_many_ranges_of_many_requests) {
  constexpr size_t kBytes = 8 << 20;
  Store store(provider, kBytes, smallPieces());
  Target target(*store.transport, kBytes);
  fillPattern(target.memory.data(), kBytes, 9);
  // Each range goes to where it would be in the mirror image of the memory.
  std::mt19937 random(4);
  std::vector<Store::Pending> pending;
  for (size_t at = 0; at < kBytes;) {
    std::vector<Range> ranges;
    for (int i = 0; i < 10 && at < kBytes; ++i) {
      size_t length = std::min<size_t>(random() % (3 * kPiece), kBytes - at);
      ranges.push_back(target.range(store.memory.data() + kBytes - at - length, length, at));
      at += length;
    }
    pending.push_back(store.start(Direction::kRead, target.peer, ranges));
  }
  for (auto& one : pending) CHECK_EQ(one.done.get().message, "");
  random.seed(4);
  for (size_t at = 0; at < kBytes;) {
    size_t length = std::min<size_t>(random() % (3 * kPiece), kBytes - at);
    CHECK(isPattern(store.memory.data() + kBytes - at - length, length, 9, at));
    at += length;
  }
  CHECK_EQ(store.transport->total().bytesRead, kBytes);
  CHECK_EQ(target.process.join(), 0);
}

PROVIDER_TEST(fabric_serves_several_targets) {
  constexpr size_t kBytes = 1 << 20;
  Store store(provider, 3 * kBytes, smallPieces());
  std::vector<std::unique_ptr<Target>> targets;
  for (uint64_t i = 0; i < 3; ++i) {
    targets.push_back(std::make_unique<Target>(*store.transport, kBytes));
    fillPattern(targets[i]->memory.data(), kBytes, i);
  }
  std::vector<Store::Pending> pending;
  for (size_t i = 0; i < 3; ++i) {
    pending.push_back(store.start(Direction::kRead, targets[i]->peer, {targets[i]->range(store.memory.data() + i * kBytes, kBytes, 0)}));
  }
  for (auto& one : pending) CHECK_EQ(one.done.get().message, "");
  for (size_t i = 0; i < 3; ++i) CHECK(isPattern(store.memory.data() + i * kBytes, kBytes, i));
  CHECK_EQ(store.transport->byPeer().size(), 3u);
  for (const auto& [peer, statistics] : store.transport->byPeer()) CHECK_EQ(statistics.bytesRead, kBytes);
}

PROVIDER_TEST(fabric_refuses_local_memory_that_is_not_registered) {
  Store store(provider, kPiece, smallPieces());
  Target target(*store.transport, kPiece);
  uint8_t elsewhere[16] = {};
  CHECK_EQ(store.transfer(Direction::kRead, target.peer, {target.range(elsewhere, 16, 0)}).error, EFAULT);
  CHECK_EQ(store.transfer(Direction::kRead, target.peer, {target.range(store.memory.data() + kPiece - 1, 2, 0)}).error, EFAULT);
  CHECK_EQ(store.transfer(Direction::kRead, target.peer, {target.range(store.memory.data(), 1, 0)}).message, "");
  CHECK_EQ(store.transfer(Direction::kRead, target.peer + 1, {target.range(store.memory.data(), 1, 0)}).error, ENOTCONN);
}

PROVIDER_TEST(fabric_moves_much) {
  const size_t bytes = size_t{std::getenv("KAFABRIC_LONG_TESTS") ? 1024u : 32u} << 20;
  Store store(provider, bytes);
  Target target(*store.transport, bytes);
  auto stamp = [&](uint8_t* memory, uint64_t seed) {
    for (size_t at = 0; at < bytes; at += 4096) std::memcpy(memory + at, &(seed += 4096), sizeof(seed));
  };
  stamp(target.memory.data(), 1);
  CHECK_EQ(store.transfer(Direction::kRead, target.peer, {target.range(store.memory.data(), bytes, 0)}, std::chrono::seconds(120)).message, "");
  CHECK(std::memcmp(store.memory.data(), target.memory.data(), bytes) == 0);
  stamp(store.memory.data(), 7);
  CHECK_EQ(store.transfer(Direction::kWrite, target.peer, {target.range(store.memory.data(), bytes, 0)}, std::chrono::seconds(120)).message, "");
  CHECK(std::memcmp(store.memory.data(), target.memory.data(), bytes) == 0);
  CHECK_EQ(store.transport->total().operations, 2 * bytes / BulkLimits{}.pieceBytes);
}

TEST(fabric_names_what_was_tried_when_there_is_no_library) {
  auto opened = Library::open("/nowhere/libfabric.so.1");
  CHECK(!opened.library);
  CHECK(opened.error.find("/nowhere/libfabric.so.1 (cannot open shared object file: No such file or directory)") != std::string::npos);
  CHECK(opened.error.find("apt-get install libfabric1") != std::string::npos);
  CHECK_EQ(opened.tried.size(), 1u);
  auto other = Library::open("libc.so.6");
  CHECK_EQ(other.error.substr(0, 67), "libfabric cannot be used; tried libc.so.6 (it is no libfabric). To ");
}

TEST(fabric_leaves_signal_handlers_alone) {
  struct sigaction mine {};
  mine.sa_handler = SIG_IGN;
  struct sigaction before {};
  sigaction(SIGTERM, &mine, &before);
  try {
    auto transport = openTransport("shm");
    struct sigaction now {};
    sigaction(SIGTERM, nullptr, &now);
    sigaction(SIGTERM, &before, nullptr);
    CHECK(now.sa_handler == SIG_IGN);
    CHECK_EQ(::getenv("IPATH_NO_BACKTRACE") != nullptr, true);
    transport->stop();
  } catch (const Skipped&) {
    sigaction(SIGTERM, &before, nullptr);
    throw;
  }
}
