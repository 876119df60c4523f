#include "fabric/remote_memory.h"

#include <algorithm>
#include <cerrno>

#include "fabric/transport.h"

namespace kafabric::fabric {

IoStatus RemoteMemory::publish(const RegionDescriptor& region, int64_t nowMs) {
  bool known = (region.access & ~(kPeerReads | kPeerWrites)) == 0 && region.access != 0;
  if (!known) return {EINVAL, "a region must allow reads or writes"};
  if (region.length == 0 || region.length > kMaxRegionBytes) return {EINVAL, "a region has an impossible length"};
  if (region.address > UINT64_MAX - region.length) return {EINVAL, "a region ends beyond the end of memory"};
  if (region.expiresMs != 0 && region.expiresMs <= nowMs) return {ETIME, "the region has expired"};
  if (regions_.count(region.id) > 0) return {EEXIST, "the region is published already"};
  if (regions_.size() >= kMaxRegions) return {ENOBUFS, "too many regions are published"};
  regions_.emplace(region.id, region);
  return {};
}

IoStatus RemoteMemory::accept(uint64_t sequence) {
  bool old = highest_ >= kSequenceWindow && sequence <= highest_ - kSequenceWindow;
  if (sequence == 0 || old) return {EALREADY, "the order is too old"};
  if (sequence > highest_) {
    uint64_t passed = std::min(sequence - highest_, kSequenceWindow);
    for (uint64_t i = 0; i < passed; ++i) seen_[(sequence - i) % kSequenceWindow] = false;
    highest_ = sequence;
  }
  bool& seen = seen_[sequence % kSequenceWindow];
  if (seen) return {EALREADY, "the order was given before"};
  seen = true;
  return {};
}

IoStatus RemoteMemory::resolvePart(const OrderedPart& part, Direction direction, int64_t nowMs, Range& range) const {
  auto found = regions_.find(part.region);
  if (found == regions_.end()) return {ENOENT, "the region is not published"};
  const RegionDescriptor& region = found->second;
  if (part.key != region.key) return {EKEYREJECTED, "the key is not the region's"};
  if (region.expiresMs != 0 && region.expiresMs <= nowMs) return {ETIME, "the region has expired"};
  uint8_t needed = direction == Direction::kRead ? kPeerReads : kPeerWrites;
  if ((region.access & needed) == 0) return {EACCES, "the region does not allow it"};
  if (part.offset > region.length || part.length > region.length - part.offset) return {ERANGE, "the range is not inside the region"};
  range = {nullptr, part.length, region.address + part.offset, region.key};
  return {};
}

IoStatus RemoteMemory::resolve(const TransferOrder& order, int64_t nowMs, std::vector<Range>& ranges) {
  if (order.attachment != attachment_) return {EPERM, "the order is for another attachment"};
  if (order.expiresMs <= nowMs) return {ETIME, "the order has expired"};
  if (order.parts.empty()) return {EINVAL, "the order has no part"};
  if (order.parts.size() > kMaxParts) return {E2BIG, "the order has too many parts"};
  IoStatus status = accept(order.sequence);
  std::vector<Range> resolved(order.parts.size());
  for (size_t i = 0; i < resolved.size() && status.ok(); ++i)
    status = resolvePart(order.parts[i], order.direction, nowMs, resolved[i]);
  if (status.ok()) ranges = std::move(resolved);
  return status;
}

}  // namespace kafabric::fabric
