// Limits and settings of the network part. Sizes are bytes, times milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace kafabric::net {

/** What records of a frame are appended to, by a hash, and where in the frame they are; `length` is not 0. */
struct FrameRecords {
  uint64_t stream = 0;
  size_t offset = 0;
  size_t length = 0;
};
/** So many are looked for in a frame. */
inline constexpr size_t kMostLocated = 64;
/**
 * Looks at the first `available` of a frame's `length` bytes for records that will be appended in this order; puts `most` of them at most into `found`
 * and returns how many. As a FrameCheck otherwise.
 */
using RecordsLocator = std::function<size_t(const uint8_t* frame, size_t available, size_t length, FrameRecords* found, size_t most)>;

/** A part of a frame, and its checksum. */
struct FramePart {
  const uint8_t* start = nullptr;
  size_t length = 0;
  uint32_t sum = 0;
};
/**
 * Looks at a whole large frame, on the thread that has received it and before anybody hears of it. `parts` are those of which the sums are known, in
 * order. What it returns, if not null, goes with the frame to whoever takes it. Called by several reactors at a time, whose other connections wait
 * meanwhile; must not throw.
 */
using FrameCheck = std::function<std::shared_ptr<void>(const uint8_t* frame, size_t length, const std::vector<FramePart>& parts)>;
/** How frames that arrive by and by are summed, in parts, while these are in the processor's cache. As a FrameCheck otherwise. */
struct PartSums {
  /** Where the first part begins in the frame of `length` bytes that begins with these; 0: checkFrame needs no sums of it. */
  std::function<size_t(const uint8_t* frame, size_t available, size_t length)> from;
  std::function<uint32_t(const uint8_t* part, size_t length)> sum;
  size_t partBytes = 0;
};

struct Options {
  /** Reactor threads (num.network.threads), 1 to 64. */
  uint32_t threads = 1;
  /** The largest frame accepted, without its length field (socket.request.max.bytes). */
  uint32_t maxFrameBytes = 100u << 20;
  /** Frames above this are received straight into arena memory, the others through the inbox. */
  uint32_t largeFrameBytes = 32u << 10;
  /** A connection with this many unanswered frames is not read from until one is answered. */
  uint32_t maxRequestsPerConnection = 64;
  /** Likewise for the bytes of its unanswered frames and unsent replies; one frame may exceed it. */
  uint64_t maxBytesPerConnection = 128u << 20;
  /** No connection starts another frame while the unanswered frames of all of them are at least this; those on their way have three quarters of it. */
  uint64_t maxInFlightBytes = 256u << 20;
  /** At this number of connections no more are accepted until one closes (max.connections). */
  uint32_t maxConnections = UINT32_MAX;
  /** Connections beyond this number from one address are closed at once (max.connections.per.ip). */
  uint32_t maxConnectionsPerIp = UINT32_MAX;
  /** A connection without traffic and without a pending request is closed after this (connections.max.idle.ms); 0: never. */
  uint64_t idleMs = 600'000;
  /**
   * While memory is short, a connection that sends nothing for this long in the middle of a large frame, or in the clear less than what is waited for
   * of it (FrameReader: up to a megabyte), is closed: nobody holds up the others by a byte now and then.
   */
  uint64_t stalledFrameMs = 30'000;
  /** Memory of a reply that waits longer than this for its peer is given back; the rest is sent from the file it came from. */
  uint64_t heldReplyMs = 1'000;
  /** A peer that takes nothing of a reply that is reported for this long is closed: such replies hold memory that all share. */
  uint64_t stalledReplyMs = 30'000;
  /** A peer that acknowledges neither what was sent nor keep-alive probes for this long is gone. */
  uint32_t peerTimeoutMs = 60'000;
  /** How long TLS may take to be agreed on. */
  uint32_t handshakeMs = 10'000;
  /** socket.listen.backlog.size. */
  uint32_t backlog = 511;
  /** SO_BUSY_POLL: how long the kernel polls the network device for a socket before it waits for an interrupt; 0: not. */
  uint32_t busyPollMicros = 0;
  /** SO_SNDBUF and SO_RCVBUF; 0 leaves them to the system. */
  uint32_t sendBufferBytes = 0;
  uint32_t receiveBufferBytes = 0;
  /**
   * SO_SNDBUF of connections from the same machine where sendBufferBytes is 0; 0: as of others. The kernel takes twice as much, which a core's
   * own cache holds, so that a peer finds there what was sent; nothing is under way that a larger buffer would be needed for (decision 69).
   */
  uint32_t nearSendBufferBytes = 384 << 10;
  RecordsLocator locateRecords;  // or none
  FrameCheck checkFrame;         // or none
  PartSums partSums;             // or none
};

/** Why a connection ended. The names for people are in src/native/net.ts, in the same order. */
enum class CloseReason : uint8_t {
  kPeerClosed,
  kReset,           // detail: errno
  kTruncatedFrame,  // detail: bytes of the frame that had arrived
  kOversizedFrame,  // detail: the frame's length
  kNegativeLength,  // detail: the frame's length
  kTlsOnPlaintext,
  kIdle,
  kStalledFrame,
  kClosedHere,
  kShutdown,
  kReplyFailed,  // a reply named memory or a file range that does not exist
  kReplyNotTaken,
  kTlsFailed,  // why is told when the connection is
};

}  // namespace kafabric::net
