// Bulk transfers between our memory and that of peers: what is asked for, whatever carries it.
//
// The side that asks is the initiator (the store); the other one has published memory and only keeps a transport running. A request
// is a list of ranges; it is cut into pieces, of which a window is under way at a time, and ends as one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "store/io.h"

namespace kafabric::fabric {

using Clock = std::chrono::steady_clock;

/** Names a peer within a transport; never given twice. */
using PeerId = uint64_t;
/** Names a request within a transport; never given twice. */
using RequestId = uint64_t;

enum class Direction : uint8_t { kRead, kWrite };  // from the peer's memory into ours; from ours into the peer's

/** Bytes that go together: `length` of them at `local`, and at `address` of the peer's region that `key` opens. */
struct Range {
  uint8_t* local = nullptr;
  uint64_t length = 0;
  uint64_t address = 0;
  uint64_t key = 0;
};

struct BulkRequest {
  PeerId peer = 0;
  Direction direction = Direction::kRead;
  /** `local` must be in memory that was registered with the transport. Ranges of no length are allowed. */
  std::vector<Range> ranges;
  /** The request fails with ETIMEDOUT then. */
  Clock::time_point deadline;
  /**
   * Runs once, on the transport's thread; must be quick. Success: all bytes are where they belong, also as others see them. After a failure any part of
   * them may have been transferred; nothing touches the memory any more.
   */
  std::function<void(const IoStatus&)> done;
  /** Kept until `done` has run: whatever holds the local memory. */
  std::shared_ptr<void> memory;
};

struct BulkLimits {
  /** Ranges are cut into pieces of at most this; 1 MiB is the best that was measured on every provider. */
  uint64_t pieceBytes = uint64_t{1} << 20;
  /** Pieces under way to one peer. */
  uint32_t window = 8;
  /** Pieces under way to all peers of a transport. */
  uint32_t maxInFlight = 64;
  /** Requests that wait or are under way; above it they fail with ENOBUFS. */
  uint32_t maxRequests = 16'384;
  /** Ranges of one request; above it it fails with EINVAL. */
  uint32_t maxRanges = 65'536;
  /** How often one piece is sent again after its connection broke. */
  uint32_t retries = 1;
};

struct Request;

/** One piece under way. Its address is what a provider gets as context, so libfabric's scratch space comes first. */
struct Operation {
  void* scratch[8] = {};  // fi_context2
  Request* request = nullptr;  // null: free
  PeerId peer = 0;
  Direction direction = Direction::kRead;
  Range piece;
  uint32_t attempt = 0;
  void* localDescriptor = nullptr;  // the carrier's
  bool written = false;             // the carrier's: the bytes are at the peer, if not yet for all to see
};

/** What moves one piece: libfabric, or TCP. */
class Carrier {
 public:
  enum class Posted {
    kUnderWay,  // its end will be reported
    kBusy,      // try again later
    kFailed,    // `status` says why
  };
  virtual ~Carrier() = default;
  virtual Posted post(Operation& operation, IoStatus& status) = 0;
};

}  // namespace kafabric::fabric
