// Cuts one connection's incoming bytes into frames.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "arena/arena.h"
#include "net/in_flight.h"
#include "net/inbox.h"
#include "net/options.h"
#include "net/tls.h"

namespace kafabric::net {

/**
 * A frame is a signed 32-bit big-endian length and that many bytes. Small frames are received into the inbox and handed
 * over where they lie. The memory of a large one is taken when its length is known and the rest, or a worthwhile part of it, has arrived,
 * and the rest is received straight into it: so frames of up to a megabyte are complete in the order in which their memory was taken,
 * however many connections send at a time, which is what guesses of the place of their records rely on (arena/append_guesses.h).
 * One of them that comes alone has nothing to be in order with: it has its memory at once, and is copied while it is sent.
 * Only the incomplete frame at the end of what was read is ever copied.
 */
class FrameReader {
 public:
  enum class Progress : uint8_t {
    kDrained,     // the socket has nothing more now
    kTurnUsed,    // there may be more; other connections come first
    kLimited,     // this connection has reached its own limit
    kNoRoom,      // inbox, arena or the shared limit is full: try again when told
    kClosed,      // see closeReason
  };

  /** @param tls null: the socket has frames as they are */
  FrameReader(uint64_t connection, int fd, TlsStream* tls, const Options& options, Inbox& inbox, Arena& arena, InFlight& inFlight)
      : connection_(connection), fd_(fd), tls_(tls), options_(options), inbox_(inbox), arena_(arena), inFlight_(inFlight) {}

  /** Reads and hands over what there is, within a turn's bounds; with `smallOnly` nothing of a large frame that was not read with others. */
  Progress receive(bool smallOnly = false);

  CloseReason closeReason() const { return closeReason_; }
  double closeDetail() const { return closeDetail_; }
  /** A large frame is being received: it has its memory. */
  bool inLargeFrame() const { return static_cast<bool>(large_); }
  /** As inLargeFrame, or one will be as soon as more of it is there. */
  bool expectsLarge() const { return large_ || deferred_; }
  /** Another large frame has begun, which will be there soon if its sender goes on. */
  bool moreSoon() const;
  /** Frames may have been read whole that are not handed over yet. */
  bool holdsFrames() const { return large_ ? largeFilled_ == large_.size() : !keptIsParsed_; }
  /** More has arrived since it was asked or read last, though too little to be worth reading yet. */
  bool unreadGrew();
  /** The peer sends nothing more. */
  void noteEnd() { ended_ = true; }
  /** The peer has ended in a large frame that is waited for, which would have its memory in vain. Sets closeReason. */
  bool cutShort();
  /** Forgets the large frame that is being received, which is then no longer in flight. */
  void abandon();
  /** Bytes received and frames handed over since the last call. */
  uint64_t takeBytes() { return std::exchange(bytes_, 0); }
  uint64_t takeFrames() { return std::exchange(frames_, 0); }

 private:
  /** Returns the number of bytes, or nothing with `progress` set. */
  std::optional<size_t> readSome(void* into, size_t size, Progress& progress);
  /** As readSome; what comes behind the first place goes to the second. */
  std::optional<size_t> readSome(iovec first, iovec second, Progress& progress);
  std::optional<size_t> received(ssize_t count, Progress& progress);
  Progress receiveTurn(bool smallOnly);
  /** Continues the large frame; true when it is complete or the socket may have more. */
  bool receiveLarge(Progress& progress);
  bool receiveSmall(Progress& progress);
  bool parseKept(Progress& progress);

  struct Parsed {
    size_t bytes;  // handed over
    bool stopped;  // `progress` says why
  };
  /** Hands over whole frames, and starts a large one. `inPlace`: the data lies in the inbox's last reservation. */
  Parsed parse(const uint8_t* data, size_t size, bool inPlace, Progress& progress);
  bool checkLength(const uint8_t* header, int32_t length, Progress& progress);
  bool deliver(const uint8_t* body, uint32_t length, bool inPlace);
  bool startLarge(uint32_t length, const uint8_t* data, size_t available);
  MemoryRef allocateLarge(uint32_t length, const uint8_t* data, size_t available);
  /** Lets the socket become readable only when what is worthwhile is there of `bytes`, all that is missing of a frame. */
  void waitFor(size_t bytes);
  void setLowWater(size_t bytes);
  /** Of the frame that is being received, or will be, what is missing; 1 when nothing is known of it. */
  size_t missing() const;
  bool finishLarge(Progress& progress);
  /** Sums what has arrived of the large frame, if that is wanted. */
  void sumParts();
  /** The records of this whole frame will be appended next, but for the first `placed` ranges, of which that is known. */
  void noteArrival(const uint8_t* frame, size_t length, size_t placed);
  void keep(const uint8_t* data, size_t size);
  bool close(CloseReason reason, double detail, Progress& progress);

  const uint64_t connection_;
  const int fd_;
  TlsStream* const tls_;
  const Options& options_;
  Inbox& inbox_;
  Arena& arena_;
  InFlight& inFlight_;

  std::vector<uint8_t> kept_;  // bytes read and not handed over, from keptOffset_
  size_t keptOffset_ = 0;
  bool keptIsParsed_ = true;  // what is kept is one incomplete frame
  bool alone_ = false;   // no other large frame was arriving when the one that arrives began
  size_t deferred_ = 0;  // what is kept begins a large frame without memory, of which so much is not read yet
  MemoryRef large_;            // the large frame that is being received
  size_t lowWater_ = 1;   // SO_RCVLOWAT
  size_t roomFor_ = 64 << 10;  // the kernel's buffer has room for so much, and some more
  int unread_ = 0;        // in the kernel's buffer when it was asked last
  size_t largeFilled_ = 0;
  std::vector<FramePart> parts_;  // of the large frame, as far as they are summed
  size_t summed_ = 0;             // where the next one begins; 0: there are none
  bool lastWasLarge_ = false;
  bool first_ = true;
  bool ended_ = false;
  size_t turnBytes_ = 0;
  uint64_t bytes_ = 0;
  uint64_t frames_ = 0;
  CloseReason closeReason_ = CloseReason::kPeerClosed;
  double closeDetail_ = 0;
};

}  // namespace kafabric::net
