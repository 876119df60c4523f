#include "fabric/providers.h"

#include <algorithm>
#include <cerrno>

namespace kafabric::fabric {

// Shared memory first: it reaches only this machine, and nothing is faster there.
const std::vector<std::string> kProviderOrder = {"shm",  "verbs;ofi_rxm", "cxi", "efa",    "opx",
                                                 "psm3", "tcp;ofi_rxm",   "tcp", "sockets"};

namespace {

const std::string kVerbs = "verbs";

std::string textOr(const char* text) { return text ? text : ""; }

size_t rankOf(const std::string& name) {
  return static_cast<size_t>(std::find(kProviderOrder.begin(), kProviderOrder.end(), name) - kProviderOrder.begin());
}

std::shared_ptr<const Provider> describe(const std::shared_ptr<const Library>& library, const fi_info& info) {
  auto provider = std::make_shared<Provider>();
  provider->name = textOr(info.fabric_attr->prov_name);
  provider->network = textOr(info.fabric_attr->name);
  provider->domain = textOr(info.domain_attr->name);
  if (info.nic && info.nic->device_attr) provider->device = textOr(info.nic->device_attr->name);
  if (info.nic && info.nic->link_attr) provider->bitsPerSecond = info.nic->link_attr->speed;
  provider->memoryModes = info.domain_attr->mr_mode;
  provider->capabilities = info.caps;
  provider->maxMessageBytes = info.ep_attr->max_msg_size;
  provider->endsWritesEarly = provider->name.compare(0, kVerbs.size(), kVerbs) == 0;
  provider->info = Info(library, library->duplicate(&info));
  return provider->info ? provider : nullptr;
}

bool sameWay(const Provider& a, const Provider& b) {
  return a.name == b.name && a.domain == b.domain && a.network == b.network;
}

Info makeHints(const std::shared_ptr<const Library>& library, int memoryModes) {
  Info hints(library, library->duplicate(nullptr));
  if (!hints) return hints;
  hints->caps = FI_MSG | FI_RMA;
  hints->mode = FI_CONTEXT | FI_CONTEXT2;
  hints->ep_attr->type = FI_EP_RDM;
  hints->domain_attr->mr_mode = memoryModes;
  hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
  // One thread does everything with a domain.
  hints->domain_attr->threading = FI_THREAD_DOMAIN;
  return hints;
}

}  // namespace

ProviderList listProviders(const std::shared_ptr<const Library>& library, int memoryModes) {
  ProviderList list;
  Info hints = makeHints(library, memoryModes);
  if (!hints) {
    list.error = library->text(ENOMEM);
    return list;
  }
  fi_info* found = nullptr;
  int code = library->getInfo(hints.get(), &found);
  Info owner(library, found);
  if (code != 0) {
    list.error = "libfabric lists no provider: " + library->text(code);
    return list;
  }
  for (const fi_info* info = found; info; info = info->next) {
    if (rankOf(textOr(info->fabric_attr->prov_name)) == kProviderOrder.size()) continue;
    auto provider = describe(library, *info);
    if (!provider) continue;
    auto known = std::find_if(list.providers.begin(), list.providers.end(),
                              [&](const auto& other) { return sameWay(*other, *provider); });
    if (known == list.providers.end()) list.providers.push_back(std::move(provider));
  }
  // The library's own order within a provider, but the faster links first.
  std::stable_sort(list.providers.begin(), list.providers.end(), [](const auto& a, const auto& b) {
    size_t rankA = rankOf(a->name);
    size_t rankB = rankOf(b->name);
    return rankA != rankB ? rankA < rankB : a->bitsPerSecond > b->bitsPerSecond;
  });
  if (list.providers.empty()) list.error = "libfabric lists no provider that can read and write the memory of peers";
  return list;
}

std::string reasonAgainst(const Library& library, const std::string& provider) {
  if (provider == kSharedMemoryProvider && library.version() < FI_VERSION(1, 18))
    return "shm of libfabric before 1.18 hangs when a peer is stopped or killed at the wrong moment";
  // Its pull requests 8656 and 8660: the entry of a read is freed twice.
  if (provider == kOverTcpProvider && library.version() < FI_VERSION(1, 18))
    return "tcp;ofi_rxm of libfabric before 1.18 can crash a process that reads from a peer which ends or stops meanwhile";
  return {};
}

std::string memoryModesText(int memoryModes) {
  constexpr struct {
    int bit;
    const char* name;
  } kNames[] = {{FI_MR_LOCAL, "LOCAL"},         {FI_MR_RAW, "RAW"},           {FI_MR_VIRT_ADDR, "VIRT_ADDR"},
                {FI_MR_ALLOCATED, "ALLOCATED"}, {FI_MR_PROV_KEY, "PROV_KEY"}, {FI_MR_ENDPOINT, "ENDPOINT"}};
  std::string text;
  for (const auto& [bit, name] : kNames) {
    if (memoryModes & bit) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text.empty() ? "none" : text;
}

}  // namespace kafabric::fabric
