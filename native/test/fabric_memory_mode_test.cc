// Each bit of mr_mode set and cleared, as far as providers without a card let it be chosen.
#include "fabric/fabric_transport.h"
#include "test/fabric_fixture.h"

using namespace kafabric;
using namespace kafabric::fabric;
using namespace kafabric::test;

namespace {

constexpr size_t kBytes = 300'000;

std::shared_ptr<const Provider> withModes(const ProviderHere& here, int modes) {
  auto provider = copyOf(here);
  provider->memoryModes = modes;
  provider->info->domain_attr->mr_mode = modes;
  return provider;
}

/** Moves bytes between two transports of this process. */
void moveBytes(const ProviderHere& here, const std::shared_ptr<const Provider>& provider) {
  IoStatus status;
  BulkLimits limits;
  limits.pieceBytes = 100'000;
  auto store = FabricTransport::open(here.library, provider, limits, status);
  CHECK_EQ(status.message, "");
  auto target = FabricTransport::open(here.library, provider, limits, status);
  CHECK_EQ(status.message, "");
  SharedMemory local(kBytes);
  SharedMemory remote(kBytes);
  Published published;
  status = waitFor([&](Transport::Done done) {
    target->publish(remote.data(), kBytes, kPeerReads | kPeerWrites, nullptr, [&, done](const IoStatus& status, const Published& what) {
      published = what;
      done(status);
    });
  });
  CHECK_EQ(status.message, "");
  bool absolute = (provider->memoryModes & FI_MR_VIRT_ADDR) != 0;
  CHECK_EQ(published.address, absolute ? reinterpret_cast<uintptr_t>(remote.data()) : 0);
  CHECK_EQ(waitFor([&](Transport::Done done) { store->registerMemory(local.data(), kBytes, nullptr, done); }).message, "");
  PeerId peer = 0;
  CHECK_EQ(waitFor([&](Transport::Done done) { peer = store->addPeer(target->offer(), done); }).message, "");
  for (Direction direction : {Direction::kRead, Direction::kWrite}) {
    uint8_t* from = direction == Direction::kRead ? remote.data() : local.data();
    uint8_t* to = direction == Direction::kRead ? local.data() : remote.data();
    fillPattern(from, kBytes, 5);
    fillZero(to, kBytes);
    status = waitFor([&](Transport::Done done) {
      BulkRequest request{peer, direction, {{local.data() + 1, kBytes - 1, published.address + 1, published.key}},
                          Clock::now() + std::chrono::seconds(20), done, nullptr};
      store->submit(std::move(request));
    });
    CHECK_EQ(status.message, "");
    CHECK(isPattern(to + 1, kBytes - 1, 5, 1));
  }
  store->stop();
  target->stop();
}

}  // namespace

TEST(fabric_works_with_and_without_each_memory_mode_over_tcp) {
  ProviderHere here = providerHere("tcp;ofi_rxm");
  // The provider below ofi_rxm is opened with modes of its own, so that only those of our side can be tried.
  for (int modes : {0, FI_MR_LOCAL})
    moveBytes(here, withModes(here, modes));
}

TEST(fabric_works_with_and_without_each_memory_mode_over_sockets) {
  ProviderHere here = providerHere("sockets");
  for (int modes : {0, FI_MR_LOCAL, FI_MR_VIRT_ADDR, FI_MR_ALLOCATED, FI_MR_PROV_KEY, FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_PROV_KEY})
    moveBytes(here, withModes(here, modes));
}

TEST(fabric_works_with_the_modes_that_shm_offers) {
  ProviderHere here = providerHere("shm");
  for (int offered : {0, kAllMemoryModes}) {
    ProviderList list = listProviders(here.library, offered);
    for (const auto& provider : list.providers) {
      if (provider->name == kSharedMemoryProvider) moveBytes(here, provider);
    }
  }
}

TEST(fabric_works_with_the_modes_that_verbs_insists_on) {
  ProviderHere here = providerHere("verbs;ofi_rxm");
  // ofi_rxm registers local memory itself, at each transfer, when that is not offered.
  for (int offered : {kAllMemoryModes, kAllMemoryModes & ~FI_MR_LOCAL, kAllMemoryModes & ~FI_MR_ENDPOINT}) {
    bool tried = false;
    for (const auto& provider : listProviders(here.library, offered).providers) {
      if (provider->name != here.provider->name || provider->domain != here.provider->domain || tried) continue;
      CHECK_EQ(provider->memoryModes & ~offered, 0);
      CHECK((provider->memoryModes & FI_MR_PROV_KEY) != 0);
      moveBytes(here, provider);
      tried = true;
    }
    CHECK(tried);
  }
}

TEST(fabric_lists_providers_fastest_first) {
  ProviderHere here = providerHere("tcp;ofi_rxm");
  ProviderList list = listProviders(here.library);
  CHECK_EQ(list.error, "");
  size_t last = 0;
  for (const auto& provider : list.providers) {
    auto rank = static_cast<size_t>(std::find(kProviderOrder.begin(), kProviderOrder.end(), provider->name) - kProviderOrder.begin());
    CHECK(rank < kProviderOrder.size());
    CHECK(rank >= last);
    last = rank;
  }
  CHECK_EQ(memoryModesText(0), "none");
  CHECK_EQ(memoryModesText(FI_MR_LOCAL | FI_MR_ENDPOINT), "LOCAL, ENDPOINT");
}
