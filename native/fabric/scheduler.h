// Decides which piece of which request goes next: fair between peers, within windows, until the deadline. One thread; no I/O of its own.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "fabric/bulk.h"
#include "fabric/statistics.h"

namespace kafabric::fabric {

struct Peer;

/** A request on its way. */
struct Request {
  RequestId id = 0;
  BulkRequest ask;
  Peer* peer = nullptr;
  size_t nextRange = 0;       // the first range of which something was not posted
  uint64_t nextOffset = 0;    // what of it was
  struct Again {
    Range piece;
    uint32_t attempt;
  };
  std::vector<Again> again;   // pieces that were interrupted
  uint32_t inFlight = 0;
  bool doomed = false;        // nothing more is posted; it ends when nothing is in flight
  IoStatus status;
  Clock::time_point submitted;
  Clock::time_point deadline;

  bool hasMore() const { return !doomed && (nextRange < ask.ranges.size() || !again.empty()); }
};

struct Peer {
  PeerId id = 0;
  std::deque<Request*> waiting;  // those with pieces that were not posted, and doomed ones
  uint32_t requests = 0;
  uint32_t inFlight = 0;
  int64_t credit = 0;  // bytes that it may post in this round
  bool ready = false;    // in the ring
  bool removed = false;  // it goes with the last of its requests
  TransferStatistics statistics;
};

class Scheduler {
 public:
  Scheduler(const BulkLimits& limits, Carrier& carrier);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void addPeer(PeerId peer);
  /** Fails what the peer was asked for with `status`: what waits at once, what is under way when that ends, or at `drained`. */
  void removePeer(PeerId peer, const IoStatus& status, Clock::time_point now, Clock::time_point drained);

  /** Checks and queues; a request that cannot be taken fails at once. */
  void submit(RequestId id, BulkRequest request, Clock::time_point now);
  /** The request fails with ECANCELED as soon as what is under way of it has ended. Nothing happens when it is not known. */
  void cancel(RequestId id, Clock::time_point now);

  struct Pumped {
    bool posted = false;
    bool busy = false;  // the carrier could not take a piece for which there was room in the windows
  };
  /** Posts what the windows allow. */
  Pumped pump(Clock::time_point now);
  /** A piece has ended. `again`: it may be sent once more, if it failed. */
  void ended(Operation& operation, const IoStatus& status, bool again, Clock::time_point now);

  /**
   * Fails requests whose deadline is over. The peers that still have pieces of such requests under way: the carrier has to be made to forget
   * those, and `interrupted` be called.
   */
  std::set<PeerId> expire(Clock::time_point now);
  /** The carrier has forgotten all pieces under way to these peers; those of requests that still live are sent again. */
  void interrupted(const std::set<PeerId>& peers, Clock::time_point now);
  /** As `interrupted`, for all peers and because of a fault that may be any piece's: each counts as failed once. */
  void broken(const IoStatus& fault, Clock::time_point now);
  /** Fails everything, when the carrier has forgotten all pieces under way. */
  void failAll(const IoStatus& status, Clock::time_point now);

  bool knows(PeerId peer) const { return peers_.count(peer) > 0; }
  uint32_t inFlight() const { return inFlight_; }
  size_t requests() const { return requests_.size(); }
  /** The next time at which `expire` has something to do; max() when never. */
  Clock::time_point nextDeadline() const;

  /** Any thread. */
  TransferStatistics total() const;
  std::vector<std::pair<PeerId, TransferStatistics>> byPeer() const;

 private:
  /** Posts the next piece of the peer at the head of the ring; false when it had none to post or the carrier did not take it. */
  bool postNext(Peer& peer, Clock::time_point now, bool& busy);
  Range nextPiece(const Request& request) const;
  void advance(Request& request, const Range& piece);
  void makeReady(Peer& peer);
  void release(Operation& operation);
  void doom(Request& request, const IoStatus& status);
  /** Ends the request if nothing of it is left. */
  void settle(Request& request, Clock::time_point now);
  void sendAgain(Request& request, const Range& piece, uint32_t attempt);
  std::vector<Operation*> underWay(const std::set<PeerId>* peers) const;
  template <typename Change>
  void count(Peer& peer, Change change);

  const BulkLimits limits_;
  Carrier& carrier_;
  std::unordered_map<PeerId, std::unique_ptr<Peer>> peers_;
  std::unordered_map<RequestId, std::unique_ptr<Request>> requests_;
  std::set<std::pair<Clock::time_point, RequestId>> deadlines_;
  std::deque<Peer*> ring_;
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<Operation*> free_;
  uint32_t inFlight_ = 0;

  mutable std::mutex statisticsMutex_;
  TransferStatistics total_;
};

}  // namespace kafabric::fabric
