// The unanswered frames of one connection.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "net/limits.h"
#include "net/options.h"

namespace kafabric::net {

/**
 * A frame is in flight from the moment its memory is taken until its reply has been written, so that a peer that does not
 * read its replies is not read from either. For the reactor's thread.
 */
class InFlight {
 public:
  InFlight(const Options& options, Limits& limits) : options_(options), limits_(limits) {}
  ~InFlight() {
    arrived();
    largeEnds();
    limits_.release(frameBytes_);
  }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  /** True when this connection may not start another frame. */
  bool full() const {
    return paused_ || frames_.size() >= options_.maxRequestsPerConnection ||
           frameBytes_ + replyBytes_ >= options_.maxBytesPerConnection;
  }
  /** Starts a frame; false at the limit that all connections share. */
  bool start(uint32_t bytes) {
    if (!limits_.admit(bytes)) return false;
    frames_.push_back(bytes);
    frameBytes_ += bytes;
    return true;
  }
  /** As start, of a frame of which more is on its way; false at the limit of those, too, which beyondShare tells. */
  bool startArriving(uint32_t bytes) {
    beyondShare_ = limits_.arrivingFull(bytes);
    if (beyondShare_ || !start(bytes)) return false;
    arriving_ = bytes;
    limits_.arriving(bytes);
    return true;
  }
  /** The newest frame is whole. */
  void arrived() { limits_.arrived(std::exchange(arriving_, 0)); }
  /** The last frame on its way that was not started waits for others on their way. */
  bool beyondShare() const { return beyondShare_; }
  /** Takes back the start of the newest frame. */
  void cancel() {
    arrived();
    uint32_t bytes = frames_.back();
    frames_.pop_back();
    frameBytes_ -= bytes;
    limits_.release(bytes);
  }
  /** The oldest frame's reply has been written. */
  void finish() {
    if (frames_.empty()) return;
    uint32_t bytes = frames_.front();
    frames_.pop_front();
    frameBytes_ -= bytes;
    limits_.release(bytes);
  }
  /** A large frame begins to arrive. True when it comes alone: no other does, and all frames of this connection are answered. */
  bool largeBegins() {
    largeArrives_ = true;
    bool isOnly = limits_.largeBegins();
    return isOnly && frames_.empty();
  }
  /** It has arrived, or will not; nothing happens when there is none. */
  void largeEnds() {
    if (std::exchange(largeArrives_, false)) limits_.largeEnds();
  }
  bool largeArrives() const { return largeArrives_; }
  /** While paused no frame is started; one that has begun is received to its end. */
  void setPaused(bool paused) { paused_ = paused; }
  bool paused() const { return paused_; }
  void setReplyBytes(uint64_t queued) { replyBytes_ = queued; }
  size_t count() const { return frames_.size(); }

 private:
  const Options& options_;
  Limits& limits_;
  std::deque<uint32_t> frames_;
  uint64_t frameBytes_ = 0;
  uint64_t replyBytes_ = 0;
  bool paused_ = false;
  uint32_t arriving_ = 0;  // of the newest frame, while more of it is on its way
  bool beyondShare_ = false;
  bool largeArrives_ = false;
};

}  // namespace kafabric::net
