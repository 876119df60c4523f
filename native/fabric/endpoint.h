// A domain of a provider, its memory regions, and an endpoint with what belongs to it. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fabric/objects.h"
#include "fabric/providers.h"
#include "store/io.h"

namespace kafabric::fabric {

/** An errno value for libfabric's code, which may have either sign, and a text: "what: why". */
IoStatus failure(const Library& library, int64_t code, const std::string& what);

/** The opened domain of one provider. */
class Domain {
 public:
  /** Null, and why, when it cannot be opened. */
  static std::unique_ptr<Domain> open(std::shared_ptr<const Library> library, std::shared_ptr<const Provider> provider,
                                      IoStatus& status);

  const Library& library() const { return *library_; }
  const Provider& provider() const { return *provider_; }
  const std::shared_ptr<const Library>& sharedLibrary() const { return library_; }
  const std::shared_ptr<const Provider>& sharedProvider() const { return provider_; }
  fi_info* info() const { return provider_->info.get(); }
  fid_fabric* fabric() const { return fabric_.get(); }
  fid_domain* get() const { return domain_.get(); }
  bool needs(int memoryMode) const { return (provider_->memoryModes & memoryMode) != 0; }
  /** A key that no region of this domain has, where we choose them. */
  uint64_t nextKey();

 private:
  Domain() = default;

  std::shared_ptr<const Library> library_;
  std::shared_ptr<const Provider> provider_;
  Owned<fid_fabric> fabric_;
  Owned<fid_domain> domain_;
  uint64_t nextKey_ = 0;
};

/** Completion queue, addresses of peers, endpoint: opened together, closed together. The domain has to outlive it. */
class Endpoint {
 public:
  static std::unique_ptr<Endpoint> open(Domain& domain, size_t operations, IoStatus& status);

  fid_ep* get() const { return endpoint_.get(); }
  fid_cq* queue() const { return queue_.get(); }
  /** Readable when completions may be there; -1: the provider has none, it must be polled. */
  int waitFd() const { return waitFd_; }
  /** What peers insert. */
  const std::string& address() const { return address_; }
  IoStatus insert(const std::string& address, fi_addr_t& peer);
  void remove(fi_addr_t peer);

 private:
  explicit Endpoint(Domain& domain) : domain_(domain) {}
  IoStatus openQueue(size_t operations);
  IoStatus openEndpoint();
  IoStatus readAddress();

  Domain& domain_;
  Owned<fid_cq> queue_;
  Owned<fid_av> peers_;
  Owned<fid_ep> endpoint_;  // last: closed before what is bound to it
  int waitFd_ = -1;
  std::string address_;
};

/** Registered memory. With FI_MR_ENDPOINT it has to go before the endpoint. */
class MemoryRegion {
 public:
  /** `access`: libfabric's bits. Null, and why, when it cannot be registered. */
  static std::unique_ptr<MemoryRegion> open(Domain& domain, Endpoint& endpoint, uint8_t* base, size_t length, uint64_t access,
                                            IoStatus& status);

  void* descriptor() const { return fi_mr_desc(region_.get()); }
  uint64_t key() const { return fi_mr_key(region_.get()); }

 private:
  Owned<fid_mr> region_;
};

}  // namespace kafabric::fabric
