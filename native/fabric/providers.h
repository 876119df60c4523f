// What the library offers on this machine: one entry for each provider, domain and network that we can use, fastest first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fabric/library.h"
#include "fabric/objects.h"

namespace kafabric::fabric {

/** The providers that are used, fastest first, by libfabric's names. */
extern const std::vector<std::string> kProviderOrder;
constexpr const char* kSharedMemoryProvider = "shm";
constexpr const char* kOverTcpProvider = "tcp;ofi_rxm";

/** Every bit of mr_mode that we can do with and without. */
constexpr int kAllMemoryModes = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_ENDPOINT;

struct Provider {
  std::string name;     // "tcp;ofi_rxm"
  std::string domain;   // the interface or device as libfabric names it: "eth0", "mlx5_0"
  std::string network;  // libfabric's fabric: peers with the same one reach each other
  std::string device;   // the card's name; empty when there is none
  uint64_t bitsPerSecond = 0;  // of the link; 0 when it is not known
  int memoryModes = 0;         // mr_mode
  uint64_t capabilities = 0;
  uint64_t maxMessageBytes = 0;
  /**
   * A write ends when the peer's card has the bytes, which may not be in its memory yet: verbs, also below ofi_rxm, takes FI_DELIVERY_COMPLETE for
   * FI_TRANSMIT_COMPLETE and says nothing (libfabric's issue 5601).
   */
  bool endsWritesEarly = false;
  Info info;
};

struct ProviderList {
  std::vector<std::shared_ptr<const Provider>> providers;
  std::string error;  // why the library listed none
};

/**
 * Asks the library for reliable endpoints with remote reads and writes. `memoryModes` are the mr_mode bits that are offered to the
 * providers; without one that a provider insists on it is not in the list.
 */
ProviderList listProviders(const std::shared_ptr<const Library>& library, int memoryModes = kAllMemoryModes);

/**
 * Why a provider is not to be chosen unasked although it is here; empty when it may be. Before libfabric 1.18 processes that use shm share spin
 * locks: one that is stopped or killed while it holds one makes the others spin for ever.
 */
std::string reasonAgainst(const Library& library, const std::string& provider);

/** "LOCAL, PROV_KEY"; "none". */
std::string memoryModesText(int memoryModes);

}  // namespace kafabric::fabric
