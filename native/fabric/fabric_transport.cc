#include "fabric/fabric_transport.h"

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <thread>

#include "fabric/fabric_bare_loop.h"

namespace kafabric::fabric {

namespace {

/** Pieces under way, where the provider's queue takes as many: of peers that do not answer each has a window of them. */
constexpr uint32_t kMaxInFlight = 512;
constexpr size_t kEntries = 32;
/** Reads of the queue before the thread looks after its other work. */
constexpr int kRounds = 16;
constexpr auto kBusyWait = std::chrono::milliseconds(1);
constexpr auto kReopenPause = std::chrono::milliseconds(200);
constexpr auto kDrainPatience = std::chrono::milliseconds(500);

// A provider without wait objects is polled: without pause while something happens, then ever more rarely.
constexpr auto kPollEagerly = std::chrono::milliseconds(1);
constexpr auto kPollOften = std::chrono::seconds(1);
constexpr auto kShortNap = std::chrono::microseconds(50);
constexpr auto kLongNap = std::chrono::milliseconds(1);
/** A look at the queue takes less when there is nothing to do. */
constexpr auto kIdleLook = std::chrono::microseconds(3);

/** Entries of newer versions are longer. */
struct ErrorEntry {
  fi_cq_err_entry entry;
  uint8_t more[128];
};

/** Whether the connection to the peer is at fault: the piece may succeed over a new one. */
bool isBrokenConnection(int error) {
  switch (error) {
    case ECONNRESET:
    case ECONNABORTED:
    case ECONNREFUSED:
    case ENOTCONN:
    case EPIPE:
    case ESHUTDOWN:
    case ECANCELED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT: return true;
    default: return false;
  }
}

uint64_t accessBits(uint8_t access, bool endsWritesEarly) {
  if (access == 0) return FI_READ | FI_WRITE;
  bool peerReads = (access & kPeerReads) != 0 || endsWritesEarly;
  return (peerReads ? FI_REMOTE_READ : 0) | (access & kPeerWrites ? FI_REMOTE_WRITE : 0);
}

/** `maxInFlight`: where the provider's queue takes as many. */
BulkLimits limitsFor(BulkLimits limits, const Provider& provider, uint32_t maxInFlight) {
  limits.pieceBytes = std::max<uint64_t>(1, std::min(limits.pieceBytes, provider.maxMessageBytes));
  auto queue = static_cast<uint32_t>(std::min<size_t>(provider.info->tx_attr->size, UINT32_MAX));
  if (queue > 0) limits.maxInFlight = std::min(maxInFlight, queue);
  // No peer has all of them.
  limits.window = std::min(limits.window, std::max(1u, limits.maxInFlight / 2));
  return limits;
}

/** Sleeps until one of the descriptors is readable or the time is over. */
void sleepOn(pollfd* fds, nfds_t count, Clock::duration longest) {
  auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(longest).count();
  timespec time{static_cast<time_t>(nanoseconds / 1'000'000'000), static_cast<long>(nanoseconds % 1'000'000'000)};
  ::ppoll(fds, count, &time, nullptr);
}

}  // namespace

struct FabricTransport::Region final : Registration {
  std::unique_ptr<MemoryRegion> memory;
};

std::unique_ptr<FabricTransport> FabricTransport::open(std::shared_ptr<const Library> library,
                                                       std::shared_ptr<const Provider> provider, const BulkLimits& limits,
                                                       IoStatus& status) {
  BulkLimits own = limitsFor(limits, *provider, std::max({limits.maxInFlight, 2 * limits.window, kMaxInFlight}));
  auto domain = Domain::open(std::move(library), std::move(provider), status);
  if (!domain) return nullptr;
  auto endpoint = Endpoint::open(*domain, size_t{own.maxInFlight} * 2, status);
  if (!endpoint && own.maxInFlight > limits.maxInFlight) {
    // The queue for what has ended may have to be shorter than the one for what is asked.
    own = limitsFor(limits, domain->provider(), limits.maxInFlight);
    endpoint = Endpoint::open(*domain, size_t{own.maxInFlight} * 2, status);
  }
  if (!endpoint) return nullptr;
  std::unique_ptr<FabricTransport> transport(new FabricTransport(std::move(domain), std::move(endpoint), own));
  if (!transport->prepareConfirming(status)) return nullptr;
  transport->startThread();
  return transport;
}

FabricTransport::FabricTransport(std::unique_ptr<Domain> domain, std::unique_ptr<Endpoint> endpoint, const BulkLimits& limits)
    : Transport({domain->provider().name, domain->provider().domain}, limits),
      domain_(std::move(domain)),
      endpoint_(std::move(endpoint)) {
  setAddress();
}

void FabricTransport::setAddress() {
  std::lock_guard lock(addressMutex_);
  address_ = endpoint_->address();
}

std::shared_ptr<BareLoop> FabricTransport::bareLoop() {
  return std::make_shared<FabricBareLoop>(domain_->sharedLibrary(), domain_->sharedProvider());
}

std::string FabricTransport::offer() {
  std::lock_guard lock(addressMutex_);
  return address_;
}

void FabricTransport::answer(const std::string&, AnswerDone done) {
  // Whoever knows the address can reach us.
  if (!command([this, done] { done({}, offer()); })) done({ESHUTDOWN, "the transport is stopped"}, {});
}

std::unique_ptr<Transport::Registration> FabricTransport::makeRegistration(uint8_t* base, size_t length, uint8_t access,
                                                                           IoStatus& status) {
  auto region = std::make_unique<Region>();
  if (!endpoint_) {
    status = broken_;
    return nullptr;
  }
  // Few providers need to know memory that no peer reaches.
  if (access == 0 && !domain_->needs(FI_MR_LOCAL)) return region;
  uint64_t bits = accessBits(access, domain_->provider().endsWritesEarly);
  region->memory = MemoryRegion::open(*domain_, *endpoint_, base, length, bits, status);
  if (!region->memory) return nullptr;
  region->descriptor = region->memory->descriptor();
  region->key = region->memory->key();
  region->address = domain_->needs(FI_MR_VIRT_ADDR) ? reinterpret_cast<uintptr_t>(base) : 0;
  return region;
}

void FabricTransport::connectPeer(PeerId id, const std::string& address, Done done) {
  Peer& peer = peers_[id];
  peer.address = address;
  peer.status = endpoint_ ? endpoint_->insert(address, peer.handle) : broken_;
  done(peer.status);
}

void FabricTransport::disconnectPeer(PeerId id) {
  auto found = peers_.find(id);
  if (found == peers_.end()) return;
  if (endpoint_ && found->second.status.ok()) endpoint_->remove(found->second.handle);
  peers_.erase(found);
}

bool FabricTransport::prepareConfirming(IoStatus& status) {
  if (!domain_->provider().endsWritesEarly) return true;
  confirmedMemory_ = makeRegistration(&confirmed_, sizeof(confirmed_), 0, status);
  return confirmedMemory_ != nullptr;
}

ssize_t FabricTransport::start(Operation& operation, fi_addr_t peer) {
  const Range& piece = operation.piece;
  operation.written = false;
  if (operation.direction == Direction::kRead) {
    return fi_read(endpoint_->get(), piece.local, piece.length, operation.localDescriptor, peer, piece.address, piece.key,
                   &operation);
  }
  iovec local{piece.local, piece.length};
  fi_rma_iov remote{piece.address, piece.length, piece.key};
  fi_msg_rma message{};
  message.msg_iov = &local;
  message.desc = &operation.localDescriptor;
  message.iov_count = 1;
  message.addr = peer;
  message.rma_iov = &remote;
  message.rma_iov_count = 1;
  message.context = &operation;
  // Nothing else says that the peer can see the bytes.
  return fi_writemsg(endpoint_->get(), &message, FI_DELIVERY_COMPLETE | FI_COMPLETION);
}

Carrier::Posted FabricTransport::postPiece(Operation& operation, IoStatus& status) {
  if (!endpoint_) {
    status = broken_;
    return Posted::kFailed;
  }
  const Peer& peer = peers_.at(operation.peer);
  if (!peer.status.ok()) {
    status = peer.status;
    return Posted::kFailed;
  }
  ssize_t code = start(operation, peer.handle);
  if (code == 0) return Posted::kUnderWay;
  if (code != -FI_EAGAIN) {
    status = failure(domain_->library(), code, "a transfer cannot be started");
    return Posted::kFailed;
  }
  // shm reports a copy that has failed under no name, and asks to try again.
  collect();
  if (stray_.ok()) return Posted::kBusy;
  status = std::exchange(stray_, {});
  return Posted::kFailed;
}

bool FabricTransport::collect() {
  for (int round = 0; round < kRounds; ++round) {
    fi_cq_entry entries[kEntries];
    ssize_t count = fi_cq_read(endpoint_->queue(), entries, kEntries);
    if (count == -FI_EAGAIN || count == 0) return true;
    if (count == -FI_EAVAIL) {
      collectError();
      continue;
    }
    if (count < 0) {
      broken_ = failure(domain_->library(), count, "the completion queue has failed");
      return false;
    }
    for (ssize_t i = 0; i < count; ++i) {
      if (auto* operation = static_cast<Operation*>(entries[i].op_context)) endedWell(*operation);
    }
  }
  return true;
}

void FabricTransport::endedWell(Operation& operation) {
  bool early = operation.direction == Direction::kWrite && confirmedMemory_ && !std::exchange(operation.written, true);
  if (early) unconfirmed_.push_back(&operation);
  else ended_.push_back({&operation, {}});
}

void FabricTransport::confirmWrites() {
  while (!unconfirmed_.empty()) {
    Operation& operation = *unconfirmed_.front();
    const Range& piece = operation.piece;
    ssize_t code = fi_read(endpoint_->get(), &confirmed_, sizeof(confirmed_), confirmedMemory_->descriptor, peers_.at(operation.peer).handle,
                           piece.address + piece.length - sizeof(confirmed_), piece.key, &operation);
    if (code == -FI_EAGAIN) return;
    unconfirmed_.pop_front();
    if (code != 0) ended_.push_back({&operation, failure(domain_->library(), code, "what was written cannot be confirmed")});
  }
}

void FabricTransport::collectError() {
  ErrorEntry error{};
  if (fi_cq_readerr(endpoint_->queue(), &error.entry, 0) != 1) return;
  IoStatus status = failure(domain_->library(), error.entry.err, "the transfer has failed");
  if (auto* operation = static_cast<Operation*>(error.entry.op_context)) ended_.push_back({operation, status});
  else stray_ = status;
}

bool FabricTransport::report() {
  if (ended_.empty()) return false;
  std::vector<Ended> ended;
  ended.swap(ended_);
  for (Ended& one : ended) {
    if (one.operation->request) Transport::ended(*one.operation, one.status, isBrokenConnection(one.status.error));
  }
  ended.clear();
  ended_.swap(ended);  // keeps the room
  return true;
}

bool FabricTransport::poll() {
  Clock::time_point before = Clock::now();
  if (!endpoint_) {
    if (before >= nextReopening_) reopen();
    return false;
  }
  bool usable = collect();
  if (usable) confirmWrites();
  if (!ended_.empty() || Clock::now() - before > kIdleLook) lastWork_ = before;
  stray_ = {};
  bool any = report();
  if (usable) return any;
  IoStatus fault = broken_;
  reopen();
  allBroken(fault);
  return true;
}

void FabricTransport::wait(int wakeFd, Clock::duration longest, bool busy) {
  if (busy || !unconfirmed_.empty()) longest = std::min<Clock::duration>(longest, kBusyWait);
  pollfd fds[2] = {{wakeFd, POLLIN, 0}, {-1, POLLIN, 0}};
  if (!endpoint_) return sleepOn(fds, 1, longest);
  if (endpoint_->waitFd() < 0) return waitPolling(wakeFd, longest);
  fid* queue = &endpoint_->queue()->fid;
  if (fi_trywait(domain_->fabric(), &queue, 1) != 0) return;
  fds[1].fd = endpoint_->waitFd();
  sleepOn(fds, 2, longest);
}

void FabricTransport::waitPolling(int wakeFd, Clock::duration longest) {
  auto quiet = Clock::now() - lastWork_;
  if (quiet < kPollEagerly) {
    ::sched_yield();
    return;
  }
  pollfd fd{wakeFd, POLLIN, 0};
  Clock::duration nap = quiet < kPollOften || hasWork() ? Clock::duration(kShortNap) : Clock::duration(kLongNap);
  sleepOn(&fd, 1, std::min(longest, nap));
}

std::set<PeerId> FabricTransport::forget(const std::set<PeerId>&) {
  reopen();
  std::set<PeerId> all;
  for (const auto& [id, peer] : peers_) all.insert(id);
  return all;
}

void FabricTransport::closeEndpoint() {
  if (endpoint_) {
    // What has ended by now has ended.
    collect();
    report();
  }
  unconfirmed_.clear();
  if (domain_->needs(FI_MR_ENDPOINT)) {
    dropRegistrations();
    confirmedMemory_.reset();
  }
  endpoint_.reset();
}

void FabricTransport::reopen() {
  nextReopening_ = Clock::now() + kReopenPause;
  closeEndpoint();
  endpoint_ = Endpoint::open(*domain_, size_t{limits().maxInFlight} * 2, broken_);
  if (!endpoint_) return;
  setAddress();
  if (domain_->needs(FI_MR_ENDPOINT)) renewRegistrations();
  if (!confirmedMemory_ && !prepareConfirming(broken_)) return closeEndpoint();
  for (auto& [id, peer] : peers_) peer.status = endpoint_->insert(peer.address, peer.handle);
}

/** What is under way may end: tcp;ofi_rxm of libfabric before 1.18 crashes when its endpoint is closed meanwhile. */
void FabricTransport::drain() {
  Clock::time_point deadline = Clock::now() + kDrainPatience;
  while (endpoint_ && isMoving() && Clock::now() < deadline && collect()) {
    confirmWrites();
    if (!report()) std::this_thread::sleep_for(kShortNap);
  }
}

void FabricTransport::shutDown() {
  drain();
  closeEndpoint();
  dropRegistrations();
  confirmedMemory_.reset();
}

}  // namespace kafabric::fabric
