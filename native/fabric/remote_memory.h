// What an attached peer has published, and the orders that it gives: "take from there", "put there". Every one is checked here,
// because keys are no security: providers accept wrong ones, and do not know of replay or expiry.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "fabric/bulk.h"

namespace kafabric::fabric {

/** As the peer describes it. Times are milliseconds since 1970. */
struct RegionDescriptor {
  uint64_t id = 0;  // the peer's name for it
  uint64_t address = 0;
  uint64_t key = 0;
  uint64_t length = 0;
  uint8_t access = 0;     // of Access (transport.h)
  int64_t expiresMs = 0;  // 0: never
};

/** A part of a published region. */
struct OrderedPart {
  uint64_t region = 0;
  uint64_t key = 0;  // must be the region's: an order for a region of the same name that is gone does no harm
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct TransferOrder {
  uint64_t attachment = 0;
  uint64_t sequence = 0;  // from 1 on; each is accepted once
  int64_t expiresMs = 0;
  Direction direction = Direction::kRead;
  std::vector<OrderedPart> parts;
};

/** One attachment's regions. One thread at a time. */
class RemoteMemory {
 public:
  static constexpr size_t kMaxRegions = 4096;
  static constexpr uint64_t kMaxRegionBytes = uint64_t{1} << 47;
  static constexpr size_t kMaxParts = 65'536;
  /** An order may come after so many later ones. */
  static constexpr uint64_t kSequenceWindow = 1024;

  /** `attachment`: names the attachment, not to be guessed. */
  explicit RemoteMemory(uint64_t attachment) : attachment_(attachment) {}

  /** EINVAL for what cannot be, EEXIST for a name in use, ENOBUFS when there are too many. */
  IoStatus publish(const RegionDescriptor& region, int64_t nowMs);
  /** False when it is not published. */
  bool withdraw(uint64_t region) { return regions_.erase(region) > 0; }

  /**
   * Checks an order; `ranges` (without `local`) are the parts in the peer's memory, in their order. Errors: EPERM another attachment's, ETIME
   * expired, EALREADY replayed or too old, ENOENT no such region, EKEYREJECTED wrong key, EACCES the region does not allow it, ERANGE not inside
   * the region, E2BIG too many parts, EINVAL no part.
   */
  IoStatus resolve(const TransferOrder& order, int64_t nowMs, std::vector<Range>& ranges);

 private:
  IoStatus accept(uint64_t sequence);
  IoStatus resolvePart(const OrderedPart& part, Direction direction, int64_t nowMs, Range& range) const;

  const uint64_t attachment_;
  std::map<uint64_t, RegionDescriptor> regions_;
  uint64_t highest_ = 0;
  std::array<bool, kSequenceWindow> seen_{};  // of the sequences up to `highest_`, by remainder
};

}  // namespace kafabric::fabric
