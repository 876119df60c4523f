// Writes of providers whose end says little are confirmed by reading back.
#include "fabric/fabric_transport.h"
#include "fabric/tcp_transport.h"
#include "test/fabric_fixture.h"

using namespace kafabric;
using namespace kafabric::fabric;
using namespace kafabric::test;

namespace {

constexpr size_t kBytes = 300'000;

/** Two transports of this process: whether they take the ends of writes for what they say. */
struct Pair {
  std::unique_ptr<FabricTransport> store;
  std::unique_ptr<FabricTransport> target;
  SharedMemory local{kBytes};
  SharedMemory remote{kBytes};
  Published published;
  PeerId peer = 0;

  Pair(const std::string& name, bool storeConfirms, bool targetExpectsIt, uint8_t access) {
    ProviderHere here = providerHere(name);
    store = open(here, storeConfirms);
    target = open(here, targetExpectsIt);
    CHECK_EQ(waitFor([&](Transport::Done done) { store->registerMemory(local.data(), kBytes, nullptr, done); }).message, "");
    IoStatus status = waitFor([&](Transport::Done done) {
      target->publish(remote.data(), kBytes, access, nullptr, [&, done](const IoStatus& status, const Published& what) {
        published = what;
        done(status);
      });
    });
    CHECK_EQ(status.message, "");
    CHECK_EQ(waitFor([&](Transport::Done done) { peer = store->addPeer(target->offer(), done); }).message, "");
  }

  ~Pair() {
    store->stop();
    target->stop();
  }

  static std::unique_ptr<FabricTransport> open(const ProviderHere& here, bool endsWritesEarly) {
    auto provider = copyOf(here);
    provider->endsWritesEarly = endsWritesEarly;
    BulkLimits limits;
    limits.pieceBytes = 10'000;
    limits.retries = 0;
    IoStatus status;
    auto transport = FabricTransport::open(here.library, provider, limits, status);
    CHECK_EQ(status.message, "");
    return transport;
  }

  /** All but the first byte and the last. */
  IoStatus write() {
    return waitFor([&](Transport::Done done) {
      store->submit({peer, Direction::kWrite, {{local.data() + 1, kBytes - 2, published.address + 1, published.key}},
                     Clock::now() + std::chrono::seconds(20), done, nullptr});
    });
  }
};

/** Memory that may only be written is read back from all the same; without leave to do so there is no confirmation, and no success. */
void readsBack(const std::string& provider) {
  needFaultTolerance(provider);
  Pair refused(provider, true, false, kPeerWrites);
  CHECK(!refused.write().ok());
  Pair unconfirmed(provider, false, false, kPeerWrites);
  CHECK_EQ(unconfirmed.write().message, "");
}

}  // namespace

PROVIDER_TEST(fabric_confirms_writes) {
  if (provider == kTcpTransportName || provider == kTlsTransportName) throw LeftOut("what it has written it hears from the peer");
  Pair pair(provider, true, true, kPeerWrites);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    fillPattern(pair.local.data(), kBytes, seed);
    fillZero(pair.remote.data(), kBytes);
    CHECK_EQ(pair.write().message, "");
    CHECK(isPattern(pair.remote.data() + 1, kBytes - 2, seed, 1));
    CHECK_EQ(pair.remote.data()[0], 0);
    CHECK_EQ(pair.remote.data()[kBytes - 1], 0);
  }
  TransferStatistics total = pair.store->total();
  CHECK_EQ(total.requests, 20u);
  CHECK_EQ(total.bytesWritten, 20 * (kBytes - 2));
  CHECK_EQ(total.bytesRead, 0u);
}

TEST(fabric_reads_back_what_it_wrote_over_verbs) { readsBack("verbs;ofi_rxm"); }

TEST(fabric_reads_back_what_it_wrote_over_tcp) { readsBack("tcp;ofi_rxm"); }
