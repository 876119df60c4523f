// Loops that transfers are judged by: they move the same bytes, beside transfers, and end whatever the target does.
#include <csignal>

#include "fabric/bare_loop.h"
#include "test/fabric_fixture.h"

using namespace kafabric;
using namespace kafabric::fabric;
using namespace kafabric::test;
using namespace std::chrono_literals;

namespace {

constexpr size_t kBytes = 1 << 20;

std::shared_ptr<BareLoop> connectedLoop(Store& store, Target& target) {
  auto loop = store.transport->bareLoop();
  std::string offer;
  CHECK_EQ(loop->open(offer).message, "");
  CHECK_EQ(loop->connect(target.answer(offer)).message, "");
  return loop;
}

BareLoad loadOf(Direction direction, const Range& range, uint64_t pieceBytes, uint32_t window, Clock::duration time) {
  BareLoad load;
  load.direction = direction;
  load.range = range;
  load.pieceBytes = pieceBytes;
  load.window = window;
  load.time = time;
  return load;
}

}  // namespace

PROVIDER_TEST(fabric_bare_loop_moves_what_it_is_told) {
  Store store(provider, 2 * kBytes);
  Target target(*store.transport, 2 * kBytes);
  auto loop = connectedLoop(store, target);
  // Not all of what either has.
  Range range = target.range(store.memory.data() + 4096, kBytes, 8192);
  for (Direction direction : {Direction::kRead, Direction::kWrite, Direction::kRead}) {
    bool reads = direction == Direction::kRead;
    uint8_t* from = reads ? target.memory.data() + 8192 : range.local;
    uint8_t* to = reads ? range.local : target.memory.data() + 8192;
    uint8_t* base = reads ? store.memory.data() : target.memory.data();
    fillPattern(from, kBytes, 5);
    fillZero(base, 2 * kBytes);
    BareResult result;
    CHECK_EQ(loop->run(loadOf(direction, range, 64 << 10, 4, 200ms), result).message, "");
    CHECK(result.bytes >= kBytes);
    CHECK_EQ(result.bytes % (64 << 10), 0u);
    CHECK(result.median.count() > 0 && result.took >= 200ms);
    CHECK(isPattern(to, kBytes, 5));
    CHECK_EQ(to[-1], 0);
    CHECK_EQ(to[kBytes], 0);
    CHECK_EQ(store.transfer(direction, target.peer, {target.range(store.memory.data(), 1000, 0)}).message, "");
  }
  BareResult latency;
  CHECK_EQ(loop->run(loadOf(Direction::kRead, range, 4096, 1, 20ms), latency).message, "");
  CHECK(latency.median.count() > 0);
}

PROVIDER_TEST(fabric_bare_loop_refuses_what_is_impossible) {
  Store store(provider, kBytes);
  Target target(*store.transport, kBytes);
  auto loop = store.transport->bareLoop();
  Range range = target.range(store.memory.data(), kBytes, 0);
  BareResult result;
  CHECK_EQ(loop->run(loadOf(Direction::kRead, range, 0, 4, 10ms), result).error, EINVAL);
  CHECK_EQ(loop->run(loadOf(Direction::kRead, range, kBytes + 1, 4, 10ms), result).error, EINVAL);
  CHECK_EQ(loop->run(loadOf(Direction::kRead, range, 4096, 65, 10ms), result).error, EINVAL);
  CHECK_EQ(loop->run(loadOf(Direction::kRead, range, 4096, 4, 10ms), result).error, ENOTCONN);
}

PROVIDER_TEST(fabric_bare_loop_ends_without_its_target) {
  needFaultTolerance(provider);
  Store store(provider, kBytes);
  Target target(*store.transport, kBytes);
  Target other(*store.transport, kBytes);
  auto loop = connectedLoop(store, target);
  Range range = target.range(store.memory.data(), kBytes, 0);
  BareResult result;
  CHECK_EQ(loop->run(loadOf(Direction::kWrite, range, 4096, 4, 20ms), result).message, "");
  target.process.stop();
  if (!movesWithoutTarget(provider)) CHECK(!loop->run(loadOf(Direction::kWrite, range, 4096, 4, 20ms), result).ok());
  target.process.signal(SIGCONT);
  auto again = connectedLoop(store, target);
  target.process.kill();
  CHECK(!again->run(loadOf(Direction::kRead, range, 4096, 4, 20ms), result).ok());
  store.transport->removePeer(target.peer, {ECONNRESET, "the peer is gone"});
  // Nobody comes.
  std::string offer;
  auto lonely = store.transport->bareLoop();
  CHECK_EQ(lonely->open(offer).message, "");
  CHECK_EQ(store.transfer(Direction::kRead, other.peer, {other.range(store.memory.data(), 1000, 0)}).message, "");
}

PROVIDER_TEST(fabric_bare_loop_may_outlive_its_transport) {
  Store store(provider, kBytes);
  Target target(*store.transport, kBytes);
  auto loop = connectedLoop(store, target);
  Range range = target.range(store.memory.data(), kBytes, 0);
  store.transport->stop();
  BareResult result;
  CHECK_EQ(loop->run(loadOf(Direction::kRead, range, 4096, 4, 20ms), result).message, "");
}
