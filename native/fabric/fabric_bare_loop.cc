#include "fabric/fabric_bare_loop.h"

#include <poll.h>
#include <sched.h>

#include <cerrno>

namespace kafabric::fabric {

namespace {

constexpr int kLongestWaitMs = 10;

}  // namespace

IoStatus FabricBareLoop::open(std::string& offer) {
  IoStatus status;
  domain_ = Domain::open(library_, provider_, status);
  if (domain_) endpoint_ = Endpoint::open(*domain_, 4 * kMaxWindow, status);
  if (endpoint_) offer = endpoint_->address();
  return status;
}

IoStatus FabricBareLoop::connect(const std::string& answer) {
  if (!endpoint_) return {ENOTCONN, "the endpoint is not open"};
  return endpoint_->insert(answer, peer_);
}

IoStatus FabricBareLoop::prepare(const BareLoad& load) {
  if (!endpoint_ || peer_ == FI_ADDR_NOTAVAIL) return {ENOTCONN, "the target is not known"};
  if (!domain_->needs(FI_MR_LOCAL) || registered_ == load.range.local) return {};
  IoStatus status;
  region_.reset();
  region_ = MemoryRegion::open(*domain_, *endpoint_, load.range.local, load.range.length, FI_READ | FI_WRITE, status);
  registered_ = region_ ? load.range.local : nullptr;
  return status;
}

Carrier::Posted FabricBareLoop::post(uint32_t slot, Direction direction, const Range& piece, IoStatus& status) {
  void* descriptor = region_ ? region_->descriptor() : nullptr;
  ssize_t code = 0;
  if (direction == Direction::kRead) {
    code = fi_read(endpoint_->get(), piece.local, piece.length, descriptor, peer_, piece.address, piece.key, &slots_[slot]);
  } else {
    iovec local{piece.local, piece.length};
    fi_rma_iov remote{piece.address, piece.length, piece.key};
    fi_msg_rma message{&local, &descriptor, 1, peer_, &remote, 1, &slots_[slot], 0};
    code = fi_writemsg(endpoint_->get(), &message, FI_DELIVERY_COMPLETE | FI_COMPLETION);
  }
  if (code == 0) return Carrier::Posted::kUnderWay;
  if (code == -FI_EAGAIN) return Carrier::Posted::kBusy;
  status = failure(*library_, code, "a piece cannot be posted");
  return Carrier::Posted::kFailed;
}

IoStatus FabricBareLoop::collect(std::vector<uint32_t>& ended) {
  fi_cq_entry entries[kMaxWindow];
  ssize_t count = fi_cq_read(endpoint_->queue(), entries, kMaxWindow);
  if (count == -FI_EAVAIL) return error();
  if (count < 0 && count != -FI_EAGAIN) return failure(*library_, count, "the completion queue has failed");
  for (ssize_t i = 0; i < count; ++i) {
    auto* slot = static_cast<Slot*>(entries[i].op_context);
    if (slot) ended.push_back(static_cast<uint32_t>(slot - slots_.data()));
  }
  if (count <= 0) waitForQueue();
  return {};
}

IoStatus FabricBareLoop::error() const {
  struct {
    fi_cq_err_entry entry;
    uint8_t more[128];  // of newer versions
  } error{};
  if (fi_cq_readerr(endpoint_->queue(), &error.entry, 0) != 1) return {EIO, "a piece has failed"};
  return failure(*library_, error.entry.err, "a piece has failed");
}

void FabricBareLoop::waitForQueue() {
  if (endpoint_->waitFd() < 0) {
    ::sched_yield();
    return;
  }
  fid* queue = &endpoint_->queue()->fid;
  if (fi_trywait(domain_->fabric(), &queue, 1) != 0) return;
  pollfd fd{endpoint_->waitFd(), POLLIN, 0};
  ::poll(&fd, 1, kLongestWaitMs);
}

void FabricBareLoop::close() {
  region_.reset();
  endpoint_.reset();
}

}  // namespace kafabric::fabric
