// What one reactor hands to JavaScript: events, and the small frames that they refer to.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arena/arena.h"
#include "net/region.h"

namespace kafabric::net {

enum class EventType : uint8_t {
  kOpened = 1,    // data: the peer's address; detail: the listener
  kFrame = 2,     // data: the frame without its length field
  kLargeFrame = 3,  // offset: in the arena; length: of the frame; handle: of the memory
  kClosed = 4,    // detail: CloseReason; length: the reason's own number
  kDrained = 5,   // the reactor has no connections left after a drain
  kRefused = 6,   // data: the address that has too many connections; detail: the listener
  kSent = 7,      // detail: so many replies more, of those that are reported, are sent
};

/** The memory of a large frame, and what the frame check made of it; empty for other events. */
struct LargeFrame {
  MemoryRef memory;
  std::shared_ptr<void> checked;
};

/** One event as JavaScript reads it: six doubles, all of them whole numbers below 2^53. */
struct Event {
  double type = 0;
  double connection = 0;
  double offset = 0;
  double length = 0;
  double handle = 0;
  double detail = 0;
};

/**
 * A single-producer, single-consumer queue in memory that JavaScript sees as one ArrayBuffer: `dataBytes` of frame
 * data, followed by kEvents events. Frames are received in place: the reactor reserves space, reads from the socket
 * into it, and commits the part that holds whole frames. Space is free again when the consumer has released the events.
 *
 * Producer methods are for the reactor's thread, consumer methods for JavaScript's.
 */
class Inbox {
 public:
  static constexpr uint32_t kEvents = 4096;

  explicit Inbox(size_t dataBytes);

  // Producer.
  /** Contiguous space of at least `least` and at most `most` bytes; empty when there is none now. */
  iovec reserve(size_t least, size_t most);
  /** True if an event can be added now; otherwise roomWanted is set and the consumer will say when. */
  bool hasRoom();
  /** Adds the frame at `data`, which lies in the last reservation, after the frames added before. Needs hasRoom. */
  void addFrame(uint64_t connection, const uint8_t* data, size_t length);
  /** Needs hasRoom. */
  void addLargeFrame(uint64_t connection, LargeFrame frame);
  /** Whether anything but large frames was added since this was asked last. */
  bool takeOther() { return std::exchange(other_, false); }
  /** A large frame is among those that were added last. */
  bool largeLately() const { return added_ - lastLarge_ < kEvents; }
  /** Adds an event that must not be lost: it waits in the reactor when there is no room. */
  void addControl(EventType type, uint64_t connection, double detail, double number, const std::string& data = {});
  /** Adds the control events that wait; not to be called between a reservation and its last addFrame. */
  void flushControls();
  /** Events that the consumer has not released. */
  uint64_t unhandled() const { return added_ - released_.load(std::memory_order_relaxed); }
  /** Makes what was added visible; true if there was anything. */
  bool publish();

  // Consumer.
  struct Batch {
    uint32_t first = 0;  // index of the first event; indexes wrap at kEvents
    uint32_t count = 0;
  };
  Batch collect();
  /** What belongs to one of the collected events. To be called once for each. */
  LargeFrame takeLargeFrame(uint32_t index) { return std::move(large_[index]); }
  Event& event(uint32_t index) { return events_[index]; }
  /** Gives back the oldest `count` events and their data; true if the reactor waits for room. */
  bool release(uint32_t count);

  std::shared_ptr<Region> region() const { return region_; }
  size_t dataBytes() const { return dataBytes_; }

 private:
  struct Control {
    Event event;
    std::string data;
  };

  bool addNow(const Control& control);
  void add(const Event& event, uint64_t dataEnd);
  void refreshTail();
  uint64_t freeEvents() const { return kEvents - (added_ - released_.load(std::memory_order_acquire)); }

  size_t dataBytes_;
  std::shared_ptr<Region> region_;
  uint8_t* data_;
  Event* events_;

  // Positions only grow; a position's place in the data is its remainder by dataBytes_.
  uint64_t dataHead_ = 0;
  uint64_t dataTail_ = 0;
  uint64_t tailEvent_ = 0;  // events whose data is counted in dataTail_
  uint64_t added_ = 0;
  bool other_ = false;
  uint64_t lastLarge_ = 0 - uint64_t{kEvents};  // what was added before the last large frame
  std::vector<uint64_t> dataEnds_;  // by event, with room for the last one released beside all that can be in use: where its data ends
  std::vector<LargeFrame> large_;   // by event index; handed over with `published_`
  std::deque<Control> waiting_;

  alignas(64) std::atomic<uint64_t> published_{0};
  alignas(64) std::atomic<uint64_t> released_{0};
  std::atomic<bool> roomWanted_{false};
};

}  // namespace kafabric::net
