// Peers that die, stop or answer nonsense, and requests that must fail.
#include <dlfcn.h>

#include <cerrno>
#include <thread>

#include "fabric/tcp_transport.h"
#include "test/fabric_fixture.h"

using namespace kafabric;
using namespace kafabric::fabric;
using namespace kafabric::test;
using namespace std::chrono_literals;

namespace {

constexpr size_t kBytes = 4 << 20;

BulkLimits smallPieces() {
  BulkLimits limits;
  limits.pieceBytes = 64 << 10;
  return limits;
}

std::vector<Range> all(const Target& target, const Store& store, size_t at = 0) {
  return {target.range(store.memory.data() + at, kBytes, 0)};
}

/** The store still serves others. */
void checkHealthy(Store& store, Target& target, Direction direction) {
  fillPattern(direction == Direction::kRead ? target.memory.data() : store.memory.data(), kBytes, 77);
  CHECK_EQ(store.transfer(direction, target.peer, all(target, store)).message, "");
  CHECK(isPattern(direction == Direction::kRead ? store.memory.data() : target.memory.data(), kBytes, 77));
}

std::vector<Store::Pending> readMany(Store& store, const Target& target) {
  std::vector<Store::Pending> pending;
  for (int i = 0; i < 100; ++i) pending.push_back(store.start(Direction::kRead, target.peer, all(target, store)));
  return pending;
}

}  // namespace

PROVIDER_TEST(fabric_survives_a_killed_target) {
  needFaultTolerance(provider);
  Store store(provider, 2 * kBytes, smallPieces());
  Target healthy(*store.transport, kBytes);
  // Again where this thread was held up until all of it was done.
  for (int failed = 0; failed == 0;) {
    Target doomed(*store.transport, kBytes);
    for (Direction direction : {Direction::kRead, Direction::kWrite}) checkHealthy(store, doomed, direction);
    std::vector<Store::Pending> pending;
    for (int i = 0; i < 200; ++i) {
      pending.push_back(store.start(i % 2 ? Direction::kRead : Direction::kWrite, doomed.peer, all(doomed, store, kBytes), 20s));
    }
    doomed.process.kill();
    // As the control connection tells.
    store.transport->removePeer(doomed.peer, {ECONNRESET, "the peer is gone"});
    for (auto& one : pending) failed += !one.done.get().ok();
  }
  checkHealthy(store, healthy, Direction::kRead);
  checkHealthy(store, healthy, Direction::kWrite);
  // A new process in its place.
  Target again(*store.transport, kBytes);
  checkHealthy(store, again, Direction::kRead);
}

PROVIDER_TEST(fabric_survives_a_stopped_target) {
  needFaultTolerance(provider);
  Store store(provider, 2 * kBytes, smallPieces());
  Target healthy(*store.transport, kBytes);
  Target stopped(*store.transport, kBytes);
  checkHealthy(store, stopped, Direction::kWrite);
  stopped.process.stop();
  const std::chrono::milliseconds time = movesWithoutTarget(provider) ? 30s : 700ms;
  std::vector<Store::Pending> pending;
  for (int i = 0; i < 8; ++i) pending.push_back(store.start(Direction::kWrite, stopped.peer, all(stopped, store, kBytes), time));
  // Others are served meanwhile, and when everything that is under way is given up.
  std::vector<Store::Pending> others;
  for (int i = 0; i < 40; ++i) {
    others.push_back(store.start(Direction::kRead, healthy.peer, all(healthy, store)));
    std::this_thread::sleep_for(25ms);
  }
  for (auto& one : others) CHECK_EQ(one.done.get().message, "");
  if (movesWithoutTarget(provider)) {
    for (auto& one : pending) CHECK_EQ(one.done.get().message, "");
  } else {
    for (auto& one : pending) CHECK(!one.done.get().ok());
    CHECK(store.transport->total().timeouts > 0);
    CHECK(store.transport->recoveries() > 0);
  }
  store.transport->removePeer(stopped.peer, {ETIMEDOUT, "the peer does not answer"});
  checkHealthy(store, healthy, Direction::kWrite);
  stopped.process.signal(SIGCONT);
  checkHealthy(store, healthy, Direction::kRead);
}

PROVIDER_TEST(fabric_serves_others_beside_targets_that_are_stopped) {
  needFaultTolerance(provider);
  constexpr int kStopped = 10;
  Store store(provider, 2 * kBytes, smallPieces());
  Target healthy(*store.transport, kBytes);
  std::vector<std::unique_ptr<Target>> stopped;
  std::vector<Store::Pending> pending;
  for (int i = 0; i < kStopped; ++i) {
    stopped.push_back(std::make_unique<Target>(*store.transport, kBytes));
    checkHealthy(store, *stopped.back(), Direction::kRead);
    stopped.back()->process.stop();
  }
  for (auto& target : stopped) pending.push_back(store.start(Direction::kRead, target->peer, all(*target, store, kBytes), 60s));
  for (Direction direction : {Direction::kRead, Direction::kWrite})
    CHECK_EQ(store.transfer(direction, healthy.peer, all(healthy, store), 20s).message, "");
  // Nothing was given up for it.
  CHECK_EQ(store.transport->recoveries(), 0u);
  for (auto& target : stopped) {
    target->process.kill();
    store.transport->removePeer(target->peer, {ECONNRESET, "the peer is gone"});
  }
  for (auto& one : pending) one.done.get();
  checkHealthy(store, healthy, Direction::kRead);
}

PROVIDER_TEST(fabric_has_room_for_others_whatever_the_window) {
  BulkLimits limits;
  limits.window = limits.maxInFlight;
  auto transport = openTransport(provider, limits);
  CHECK(transport->limits().window <= transport->limits().maxInFlight / 2);
  transport->stop();
}

PROVIDER_TEST(fabric_survives_wrong_keys_and_ranges) {
  Store store(provider, kBytes, smallPieces());
  Target target(*store.transport, kBytes);
  Range wrongKey = target.range(store.memory.data(), 1000, 0);
  wrongKey.key ^= 0x5a5a;
  Range beyond = target.range(store.memory.data(), kBytes, 4096);
  for (Direction direction : {Direction::kRead, Direction::kWrite}) {
    for (const Range& range : {wrongKey, beyond}) {
      IoStatus status = store.transfer(direction, target.peer, {range}, 2s);
      // shm looks at neither: only RemoteMemory's checks count.
      if (provider != "shm") CHECK(!status.ok());
    }
  }
  store.transport->removePeer(target.peer, {EPROTO, "it told nonsense"});
  Target healthy(*store.transport, kBytes);
  checkHealthy(store, healthy, Direction::kRead);
  checkHealthy(store, healthy, Direction::kWrite);
}

PROVIDER_TEST(fabric_cancels) {
  Store store(provider, kBytes, smallPieces());
  Target target(*store.transport, kBytes);
  checkHealthy(store, target, Direction::kRead);
  // Again where this thread was held up until most of it was done.
  for (int cancelled = 0; cancelled <= 50;) {
    std::vector<Store::Pending> pending = readMany(store, target);
    for (auto& one : pending) store.transport->cancel(one.id);
    cancelled = 0;
    for (auto& one : pending) cancelled += one.done.get().error == ECANCELED;
    checkHealthy(store, target, Direction::kRead);
  }
}

PROVIDER_TEST(fabric_stops_in_the_middle) {
  for (int ended = 0; ended <= 50;) {
    Store store(provider, kBytes, smallPieces());
    Target target(*store.transport, kBytes);
    checkHealthy(store, target, Direction::kRead);
    std::vector<Store::Pending> pending = readMany(store, target);
    store.transport->stop();
    ended = 0;
    for (auto& one : pending) {
      int error = one.done.get().error;
      CHECK(error == 0 || error == ESHUTDOWN);
      ended += error != 0;
    }
    CHECK_EQ(store.transfer(Direction::kRead, target.peer, all(target, store)).error, ESHUTDOWN);
  }
}

PROVIDER_TEST(fabric_attaches_and_detaches_without_leaks) {
  Store store(provider, kBytes, smallPieces());
  Target target(*store.transport, kBytes);
  checkHealthy(store, target, Direction::kRead);
  size_t before = 0;
  // Of libfabric each takes up to a tenth of a second.
  bool isQuick = provider == kTcpTransportName || provider == kTlsTransportName;
  int cycles = isQuick || std::getenv("KAFABRIC_LONG_TESTS") ? 1000 : 50;
  for (int i = 0; i < cycles; ++i) {
    store.transport->removePeer(target.peer, {ENOTCONN, "it detached"});
    target.attachAgain(*store.transport);
    CHECK_EQ(store.transfer(Direction::kRead, target.peer, {target.range(store.memory.data(), 1000, 0)}).message, "");
    if (i == 20) before = openDescriptors();
  }
  CHECK(openDescriptors() <= before + 2);
  CHECK_EQ(store.transport->byPeer().size(), 1u);
  std::string answer = target.ask("descriptors");
  CHECK(std::stoul(answer) < 100);
}

#ifdef __x86_64__
PROVIDER_TEST(fabric_leaves_the_functions_of_the_c_library_alone) {
  auto transport = openTransport(provider);
  // A jump over the beginning of a function, as libfabric's memory hooks write it ("movabs r11"), kills threads that are inside.
  for (const char* name : {"mmap", "munmap", "mremap", "madvise"}) {
    auto* code = static_cast<const uint8_t*>(::dlsym(RTLD_DEFAULT, name));
    CHECK(code != nullptr);
    CHECK(!(code[0] == 0x49 && code[1] == 0xbb));
  }
  transport->stop();
}
#endif

namespace {

/** Two ends of the transport over TCP, and what the target comes to with an offer. */
struct TcpPair {
  std::unique_ptr<TcpTransport> store;
  std::unique_ptr<TcpTransport> target;

  explicit TcpPair(bool encrypted) {
    IoStatus status;
    TcpOptions options;
    options.host = options.advertised = "127.0.0.1";
    options.encrypted = encrypted;
    store = TcpTransport::open(options, {}, status);
    options.listen = false;
    target = TcpTransport::open(options, {}, status);
    CHECK_EQ(status.message, "");
  }
  ~TcpPair() {
    target->stop();
    store->stop();
  }

  static int answer(TcpTransport& target, const std::string& offer) {
    std::promise<int> promise;
    target.answer(offer, [&](const IoStatus& status, const std::string&) { promise.set_value(status.error); });
    return promise.get_future().get();
  }
};

std::string changedAt(std::string text, size_t at) {
  text[at] = static_cast<char>(text[at] ^ 1);
  return text;
}

}  // namespace

static void turnsStrangersAway(bool encrypted) {
  TcpPair pair(encrypted);
  std::string offer = pair.store->offer();
  std::string wrong = changedAt(offer, 0);
  CHECK(TcpPair::answer(*pair.target, wrong) != 0);
  CHECK_EQ(TcpPair::answer(*pair.target, "short"), EINVAL);
  CHECK_EQ(TcpPair::answer(*pair.target, offer), 0);
  CHECK(TcpPair::answer(*pair.target, offer) != 0);  // a ticket is for one
  std::promise<int> added;
  pair.store->addPeer(wrong, [&](const IoStatus& status) { added.set_value(status.error); });
  CHECK_EQ(added.get_future().get(), EINVAL);
}

TEST(fabric_plain_tcp_turns_strangers_away) { turnsStrangersAway(false); }

TEST(fabric_tls_tcp_turns_strangers_away) { turnsStrangersAway(true); }

TEST(fabric_tls_tcp_needs_the_key_of_the_attachment) {
  constexpr size_t kKeyAt = sizeof(Ticket) + sizeof(uint16_t);
  TcpPair encrypted(true);
  TcpPair plain(false);
  std::string offer = encrypted.store->offer();
  CHECK(TcpPair::answer(*encrypted.target, changedAt(offer, kKeyAt)) != 0);
  CHECK(TcpPair::answer(*encrypted.target, changedAt(offer, kKeyAt + sizeof(TlsKey) - 1)) != 0);
  // Whoever has the ticket without a key, and speaks in clear, and the reverse.
  std::string inClear = offer;
  inClear.erase(kKeyAt, sizeof(TlsKey));
  CHECK(TcpPair::answer(*plain.target, inClear) != 0);
  std::string withKey = plain.store->offer();
  withKey.insert(kKeyAt, std::string(sizeof(TlsKey), 'k'));
  CHECK(TcpPair::answer(*encrypted.target, withKey) != 0);
  CHECK_EQ(TcpPair::answer(*encrypted.target, offer), 0);
}
