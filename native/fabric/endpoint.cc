#include "fabric/endpoint.h"

#include <sys/random.h>
#include <sys/resource.h>

#include <cerrno>

#include "fabric/signal_handlers.h"

namespace kafabric::fabric {

namespace {

constexpr size_t kMaxAddressBytes = 1024;
/** Codes from here on are libfabric's own. */
constexpr int64_t kFirstOwnCode = FI_ERRNO_OFFSET;

std::string lockedMemoryAdvice() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {};
  return " (this process may lock " + std::to_string(limit.rlim_cur >> 10) +
         " KiB: ulimit -l unlimited, or LimitMEMLOCK=infinity of a systemd unit)";
}

}  // namespace

IoStatus failure(const Library& library, int64_t code, const std::string& what) {
  int64_t positive = code < 0 ? -code : code;
  int error = positive < kFirstOwnCode ? static_cast<int>(positive) : EIO;
  if (positive == FI_ENOKEY) error = EACCES;
  return {error, what + ": " + library.text(positive)};
}

std::unique_ptr<Domain> Domain::open(std::shared_ptr<const Library> library, std::shared_ptr<const Provider> provider,
                                     IoStatus& status) {
  std::unique_ptr<Domain> domain(new Domain);
  domain->library_ = std::move(library);
  domain->provider_ = std::move(provider);
  fi_info* info = domain->info();
  // Keys are no secret, but they should not be those of an earlier process either.
  if (::getrandom(&domain->nextKey_, sizeof(domain->nextKey_), 0) != sizeof(domain->nextKey_)) domain->nextKey_ = 1;
  SignalHandlers handlers;
  std::string where = domain->provider_->name + " on " + domain->provider_->domain;
  int code = domain->library_->openFabric(info->fabric_attr, domain->fabric_.receive());
  if (code == 0) code = fi_domain(domain->fabric(), info, domain->domain_.receive(), nullptr);
  if (code == 0) return domain;
  status = failure(*domain->library_, code, where + " cannot be opened");
  return nullptr;
}

uint64_t Domain::nextKey() {
  size_t bytes = info()->domain_attr->mr_key_size;
  uint64_t mask = bytes >= sizeof(uint64_t) ? UINT64_MAX : (uint64_t{1} << (8 * bytes)) - 1;
  return nextKey_++ & mask;
}

std::unique_ptr<Endpoint> Endpoint::open(Domain& domain, size_t operations, IoStatus& status) {
  std::unique_ptr<Endpoint> endpoint(new Endpoint(domain));
  SignalHandlers handlers;  // shm installs its own when it is enabled
  status = endpoint->openQueue(operations);
  if (status.ok()) status = endpoint->openEndpoint();
  if (status.ok()) status = endpoint->readAddress();
  return status.ok() ? std::move(endpoint) : nullptr;
}

IoStatus Endpoint::openQueue(size_t operations) {
  fi_cq_attr attributes{};
  attributes.size = operations;
  attributes.format = FI_CQ_FORMAT_CONTEXT;
  // shm has no wait objects, and crashes when it is asked to prepare for waiting.
  bool polled = domain_.provider().name == kSharedMemoryProvider;
  attributes.wait_obj = polled ? FI_WAIT_NONE : FI_WAIT_FD;
  int code = fi_cq_open(domain_.get(), &attributes, queue_.receive(), nullptr);
  if (code != 0 && !polled) {
    polled = true;
    attributes.wait_obj = FI_WAIT_NONE;
    code = fi_cq_open(domain_.get(), &attributes, queue_.receive(), nullptr);
  }
  if (code != 0) return failure(domain_.library(), code, "a completion queue cannot be opened");
  if (!polled && fi_control(&queue_->fid, FI_GETWAIT, &waitFd_) != 0) waitFd_ = -1;
  return {};
}

IoStatus Endpoint::openEndpoint() {
  fi_av_attr attributes{};
  attributes.type = domain_.info()->domain_attr->av_type;
  if (attributes.type == FI_AV_UNSPEC) attributes.type = FI_AV_TABLE;
  int code = fi_av_open(domain_.get(), &attributes, peers_.receive(), nullptr);
  if (code != 0) return failure(domain_.library(), code, "an address vector cannot be opened");
  code = fi_endpoint(domain_.get(), domain_.info(), endpoint_.receive(), nullptr);
  if (code == 0) code = fi_ep_bind(endpoint_.get(), &peers_->fid, 0);
  if (code == 0) code = fi_ep_bind(endpoint_.get(), &queue_->fid, FI_TRANSMIT | FI_RECV);
  if (code == 0) code = fi_enable(endpoint_.get());
  if (code != 0) return failure(domain_.library(), code, "an endpoint cannot be opened");
  return {};
}

IoStatus Endpoint::readAddress() {
  address_.resize(kMaxAddressBytes);
  size_t length = address_.size();
  int code = fi_getname(&endpoint_->fid, address_.data(), &length);
  if (code != 0 || length > kMaxAddressBytes) return failure(domain_.library(), code, "the endpoint tells no address");
  address_.resize(length);
  return {};
}

IoStatus Endpoint::insert(const std::string& address, fi_addr_t& peer) {
  if (address.empty() || address.size() > kMaxAddressBytes) return {EINVAL, "the peer's address has an impossible length"};
  // Providers take the length for granted: what is shorter than ours is filled up.
  std::string padded = address;
  padded.resize(std::max(address.size(), address_.size()) + 1);
  int inserted = fi_av_insert(peers_.get(), padded.data(), 1, &peer, 0, nullptr);
  if (inserted == 1) return {};
  return failure(domain_.library(), inserted < 0 ? inserted : FI_EINVAL, "the peer's address cannot be used");
}

void Endpoint::remove(fi_addr_t peer) { fi_av_remove(peers_.get(), &peer, 1, 0); }

std::unique_ptr<MemoryRegion> MemoryRegion::open(Domain& domain, Endpoint& endpoint, uint8_t* base, size_t length, uint64_t access,
                                                 IoStatus& status) {
  auto region = std::make_unique<MemoryRegion>();
  uint64_t key = domain.needs(FI_MR_PROV_KEY) ? 0 : domain.nextKey();
  int code = fi_mr_reg(domain.get(), base, length, access, 0, key, 0, region->region_.receive(), nullptr);
  // Another region has the key, of this or, where the network numbers them, of another process.
  for (int tries = 0; code == -FI_ENOKEY && tries < 16 && !domain.needs(FI_MR_PROV_KEY); ++tries)
    code = fi_mr_reg(domain.get(), base, length, access, 0, domain.nextKey(), 0, region->region_.receive(), nullptr);
  if (code == 0 && domain.needs(FI_MR_ENDPOINT)) {
    code = fi_mr_bind(region->region_.get(), &endpoint.get()->fid, 0);
    if (code == 0) code = fi_mr_enable(region->region_.get());
  }
  if (code == 0) return region;
  status = failure(domain.library(), code, "memory of " + std::to_string(length) + " bytes cannot be registered");
  status.message += lockedMemoryAdvice();
  return nullptr;
}

}  // namespace kafabric::fabric
