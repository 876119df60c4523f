// The order in which pieces go, with a carrier that only takes notes.
#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <string>

#include "fabric/scheduler.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::fabric;

namespace {

class NotingCarrier final : public Carrier {
 public:
  std::deque<Operation*> underWay;
  std::string order;  // of the peers' pieces, a letter each
  bool busy = false;
  int failWith = 0;

  Posted post(Operation& operation, IoStatus& status) override {
    if (busy) return Posted::kBusy;
    if (failWith != 0) {
      status = {failWith, "as the test wants"};
      return Posted::kFailed;
    }
    order += static_cast<char>('a' + operation.peer);
    underWay.push_back(&operation);
    return Posted::kUnderWay;
  }
};

struct Bench {
  BulkLimits limits;
  NotingCarrier carrier;
  std::unique_ptr<Scheduler> scheduler;
  Clock::time_point now{};
  std::map<RequestId, IoStatus> ended;
  RequestId next = 1;

  explicit Bench(uint32_t window = 2, uint32_t maxInFlight = 8) {
    limits.pieceBytes = 100;
    limits.window = window;
    limits.maxInFlight = maxInFlight;
    limits.maxRequests = 50;
    limits.maxRanges = 10;
    scheduler = std::make_unique<Scheduler>(limits, carrier);
    for (PeerId peer = 0; peer < 4; ++peer) scheduler->addPeer(peer);
  }
  RequestId ask(PeerId peer, std::vector<uint64_t> lengths, int seconds = 10) {
    BulkRequest request;
    request.peer = peer;
    uint64_t at = 1000;
    for (uint64_t length : lengths) {
      request.ranges.push_back({reinterpret_cast<uint8_t*>(at), length, at * 2, 9});
      at += 1000;
    }
    request.deadline = now + std::chrono::seconds(seconds);
    RequestId id = next++;
    request.done = [this, id](const IoStatus& status) {
      CHECK_EQ(ended.count(id), 0u);
      ended[id] = status;
    };
    scheduler->submit(id, std::move(request), now);
    return id;
  }
  void pump() { scheduler->pump(now); }
  void end(int error = 0, bool again = false) {
    Operation* first = carrier.underWay.front();
    carrier.underWay.pop_front();
    scheduler->ended(*first, {error, error ? "failed" : ""}, again, now);
  }
  void endAll() {
    pump();
    while (!carrier.underWay.empty()) {
      end();
      pump();
    }
  }
};

}  // namespace

TEST(fabric_cuts_ranges_into_pieces) {
  Bench bench(100, 100);
  RequestId id = bench.ask(1, {250, 0, 100, 1});
  bench.pump();
  std::string pieces;
  for (Operation* operation : bench.carrier.underWay) {
    const Range& piece = operation->piece;
    CHECK_EQ(piece.address - 2 * (piece.address / 2000 * 1000), reinterpret_cast<uintptr_t>(piece.local) - piece.address / 2000 * 1000);
    pieces += std::to_string(reinterpret_cast<uintptr_t>(piece.local)) + "+" + std::to_string(piece.length) + " ";
  }
  CHECK_EQ(pieces, "1000+100 1100+100 1200+50 3000+100 4000+1 ");
  CHECK_EQ(bench.ended.size(), 0u);
  bench.endAll();
  CHECK_EQ(bench.ended.at(id).error, 0);
  CHECK_EQ(bench.scheduler->total().bytesRead, 351u);
  CHECK_EQ(bench.scheduler->total().operations, 5u);
}

TEST(fabric_ends_requests_without_bytes_at_once) {
  Bench bench;
  CHECK_EQ(bench.ended.at(bench.ask(1, {})).error, 0);
  CHECK_EQ(bench.ended.at(bench.ask(1, {0, 0})).error, 0);
  CHECK_EQ(bench.scheduler->requests(), 0u);
}

TEST(fabric_shares_between_peers_by_bytes) {
  Bench bench(100, 6);
  bench.limits.pieceBytes = 100;
  bench.ask(0, {2000});
  bench.ask(1, {2000});
  bench.ask(2, {300});
  for (int i = 0; i < 60; ++i) {
    bench.pump();
    if (!bench.carrier.underWay.empty()) bench.end();
  }
  CHECK_EQ(bench.carrier.order.substr(0, 12), "abcabcabcaba");
  CHECK_EQ(bench.ended.size(), 3u);
}

TEST(fabric_keeps_windows) {
  Bench bench(2, 5);
  for (PeerId peer = 0; peer < 4; ++peer) bench.ask(peer, {1000});
  bench.pump();
  CHECK_EQ(bench.carrier.underWay.size(), 5u);  // of all
  bench.pump();
  CHECK_EQ(bench.carrier.underWay.size(), 5u);
  std::map<PeerId, int> each;
  for (Operation* operation : bench.carrier.underWay) ++each[operation->peer];
  for (const auto& [peer, count] : each) CHECK(count <= 2);
  bench.endAll();
  CHECK_EQ(bench.ended.size(), 4u);
}

TEST(fabric_waits_while_the_carrier_is_busy) {
  Bench bench;
  RequestId id = bench.ask(1, {300});
  bench.carrier.busy = true;
  CHECK(bench.scheduler->pump(bench.now).busy);
  CHECK_EQ(bench.scheduler->inFlight(), 0u);
  bench.carrier.busy = false;
  bench.endAll();
  CHECK_EQ(bench.ended.at(id).error, 0);
  CHECK_EQ(bench.scheduler->total().bytesRead, 300u);
}

TEST(fabric_fails_requests_at_their_deadline) {
  Bench bench;
  RequestId waiting = bench.ask(0, {100}, 5);
  CHECK(bench.scheduler->nextDeadline() == bench.now + std::chrono::seconds(5));
  bench.now += std::chrono::seconds(5);
  CHECK_EQ(bench.scheduler->expire(bench.now).size(), 0u);
  CHECK_EQ(bench.ended.at(waiting).error, ETIMEDOUT);

  RequestId stuck = bench.ask(1, {500}, 5);
  RequestId other = bench.ask(2, {300}, 60);
  bench.pump();
  bench.now += std::chrono::seconds(5);
  std::set<PeerId> peers = bench.scheduler->expire(bench.now);
  CHECK_EQ(peers.size(), 1u);
  CHECK_EQ(*peers.begin(), 1u);
  CHECK_EQ(bench.ended.count(stuck), 0u);  // its memory is still in use
  bench.carrier.underWay.clear();
  bench.scheduler->interrupted({0, 1, 2, 3}, bench.now);
  CHECK_EQ(bench.ended.at(stuck).error, ETIMEDOUT);
  CHECK_EQ(bench.ended.count(other), 0u);
  bench.endAll();
  CHECK_EQ(bench.ended.at(other).error, 0);
  TransferStatistics total = bench.scheduler->total();
  CHECK_EQ(total.timeouts, 2u);
  CHECK_EQ(total.errors, 2u);
  CHECK_EQ(total.retries, 2u);
  CHECK_EQ(total.bytesRead, 300u);
  CHECK(bench.scheduler->nextDeadline() == Clock::time_point::max());
}

TEST(fabric_sends_pieces_of_a_broken_connection_once_more) {
  Bench bench(1, 1);
  RequestId id = bench.ask(1, {150});
  bench.pump();
  bench.end(ECONNRESET, true);
  bench.endAll();
  CHECK_EQ(bench.ended.at(id).error, 0);
  RequestId twice = bench.ask(1, {150});
  bench.pump();
  bench.end(ECONNRESET, true);
  bench.pump();
  bench.end(ECONNRESET, true);
  CHECK_EQ(bench.ended.at(twice).error, ECONNRESET);
  RequestId never = bench.ask(1, {150});
  bench.pump();
  bench.end(EACCES, false);
  CHECK_EQ(bench.ended.at(never).error, EACCES);
  bench.carrier.failWith = EINVAL;
  RequestId refused = bench.ask(1, {150});
  bench.pump();
  CHECK_EQ(bench.ended.at(refused).error, EINVAL);
  CHECK_EQ(bench.scheduler->requests(), 0u);
  CHECK_EQ(bench.scheduler->inFlight(), 0u);
}

TEST(fabric_cancels_when_nothing_is_under_way_any_more) {
  Bench bench;
  RequestId id = bench.ask(1, {1000});
  RequestId behind = bench.ask(1, {100});
  bench.pump();
  bench.scheduler->cancel(id, bench.now);
  bench.scheduler->cancel(id + 100, bench.now);
  CHECK_EQ(bench.ended.size(), 0u);
  bench.endAll();
  CHECK_EQ(bench.ended.at(id).error, ECANCELED);
  CHECK_EQ(bench.ended.at(behind).error, 0);
  CHECK_EQ(bench.scheduler->total().cancelled, 1u);
  CHECK_EQ(bench.scheduler->total().operations, 3u);
}

TEST(fabric_fails_what_a_removed_peer_was_asked_for) {
  Bench bench;
  RequestId underWay = bench.ask(1, {1000}, 60);
  RequestId waiting = bench.ask(1, {100}, 60);
  RequestId other = bench.ask(2, {100}, 60);
  bench.pump();
  IoStatus gone{ENOTCONN, "gone"};
  bench.scheduler->removePeer(1, gone, bench.now, bench.now + std::chrono::seconds(1));
  CHECK_EQ(bench.ended.at(waiting).error, ENOTCONN);
  CHECK_EQ(bench.ended.at(bench.ask(1, {1})).error, ENOTCONN);
  CHECK(bench.scheduler->knows(1));
  bench.now += std::chrono::seconds(1);
  CHECK_EQ(bench.scheduler->expire(bench.now).size(), 1u);
  auto& underway = bench.carrier.underWay;
  underway.erase(std::remove_if(underway.begin(), underway.end(), [](Operation* one) { return one->peer == 1; }), underway.end());
  bench.scheduler->interrupted({1}, bench.now);
  CHECK_EQ(bench.ended.at(underWay).error, ENOTCONN);
  CHECK(!bench.scheduler->knows(1));
  CHECK_EQ(bench.scheduler->byPeer().size(), 3u);
  bench.endAll();
  CHECK_EQ(bench.ended.at(other).error, 0);
}

TEST(fabric_refuses_what_is_too_much) {
  Bench bench;
  CHECK_EQ(bench.ended.at(bench.ask(1, std::vector<uint64_t>(11, 1))).error, EINVAL);
  CHECK_EQ(bench.ended.at(bench.ask(1, {UINT64_MAX})).error, EINVAL);
  for (int i = 0; i < 50; ++i) bench.ask(1, {1});
  CHECK_EQ(bench.ended.at(bench.ask(1, {1})).error, ENOBUFS);
  bench.scheduler->failAll({ESHUTDOWN, "end"}, bench.now);
  CHECK_EQ(bench.ended.size(), 53u);
  CHECK_EQ(bench.scheduler->requests(), 0u);
}
