// One way to reach peers (a provider on a domain, or TCP): a thread that moves pieces, whatever the way is.
//
// Everything public may be called on any thread, and returns at once. Callbacks run on the transport's thread and must be quick; they may
// call the transport again. After stop(), or when the transport is stopping, they run with ESHUTDOWN on the thread of the caller.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fabric/bare_loop.h"
#include "fabric/bulk.h"
#include "fabric/scheduler.h"

namespace kafabric::fabric {

/** What a peer may do with published memory. */
enum Access : uint8_t { kPeerReads = 1, kPeerWrites = 2 };

/** Memory that a peer can reach: its first byte is at `address`, and `key` opens it. */
struct Published {
  uint64_t id = 0;  // for `withdraw`
  uint64_t address = 0;
  uint64_t key = 0;
};

/** How a transport is called in logs, metrics and errors. */
struct TransportName {
  std::string provider;
  std::string domain;
};

class Transport : protected Carrier {
 public:
  using Done = std::function<void(const IoStatus&)>;
  using AnswerDone = std::function<void(const IoStatus&, const std::string& address)>;
  using PublishedDone = std::function<void(const IoStatus&, const Published&)>;

  ~Transport() override;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  const TransportName& name() const { return name_; }
  const BulkLimits& limits() const { return limits_; }

  /** Initiator: a loop that does the same without the engine, to judge that by. It may outlive the transport. */
  virtual std::shared_ptr<BareLoop> bareLoop() = 0;
  /** Initiator: what one target needs to know of us. */
  virtual std::string offer() = 0;
  /** Target: makes us reachable for the initiator that made the offer; `done` gets the address for it to add. */
  virtual void answer(const std::string& offer, AnswerDone done) = 0;
  /**
   * Initiator: takes a target's answer. `done` says whether the address could be used; else the peer is removed again. It is named by the
   * result, and can be asked at once.
   */
  PeerId addPeer(std::string address, Done done);
  /**
   * The peer is gone (its control connection broke, or it detached): what it was asked for fails with `why`. Memory is safe from it when the
   * requests have ended.
   */
  void removePeer(PeerId peer, IoStatus why);

  /** Makes memory usable as `Range::local`. `keep` is held until it is forgotten again. It must not overlap what is registered. */
  void registerMemory(uint8_t* base, size_t length, std::shared_ptr<void> keep, Done done);
  /** Ends a registration; EBUSY while requests are under way. */
  void forgetMemory(uint8_t* base, Done done);

  /** Lets peers at memory of ours. `access`: of Access. `keep` is held until it is withdrawn. */
  void publish(uint8_t* base, size_t length, uint8_t access, std::shared_ptr<void> keep, PublishedDone done);
  /** Once `done` has run no peer reaches the memory any more. */
  void withdraw(uint64_t id, Done done);

  RequestId submit(BulkRequest request);
  void cancel(RequestId request);

  /** Fails what is under way and joins the thread. More calls do nothing. */
  void stop();
  /**
   * As `stop`, but gives up after the time: false when the thread is still inside the provider. Then nothing of this object may be destroyed
   * any more.
   */
  bool stopWithin(Clock::duration patience);
  /** How long ago the thread began its current round: far more than a second means that the provider does not return. */
  Clock::duration sinceLastRound() const { return Clock::now() - Clock::time_point(Clock::duration(lastRound_)); }

  TransferStatistics total() const { return scheduler_.total(); }
  std::vector<std::pair<PeerId, TransferStatistics>> byPeer() const { return scheduler_.byPeer(); }
  /** How often everything under way was given up to be rid of a peer that did not answer. */
  uint64_t recoveries() const { return recoveries_; }

 protected:
  /** What the way keeps for a piece of memory; destroyed on the transport's thread. */
  struct Registration {
    virtual ~Registration() = default;
    void* descriptor = nullptr;  // for local use
    uint64_t address = 0;        // for peers
    uint64_t key = 0;
  };

  Transport(TransportName name, const BulkLimits& limits);
  /** By the derived class, when it is complete. */
  void startThread();
  /** Runs `command` on the thread; false when that has ended. */
  bool command(std::function<void()> command);

  // What a way has to do; all on the transport's thread.

  /** Makes memory known to it: for local use with `access` 0. Null, and why, when it cannot. */
  virtual std::unique_ptr<Registration> makeRegistration(uint8_t* base, size_t length, uint8_t access, IoStatus& status) = 0;
  virtual void connectPeer(PeerId peer, const std::string& address, Done done) = 0;
  virtual void disconnectPeer(PeerId peer) = 0;
  /** Collects what has ended; whether there was anything. */
  virtual bool poll() = 0;
  /** Returns when there may be something to collect, when `wakeFd` is readable, or after the time; `busy`: a piece could not be posted. */
  virtual void wait(int wakeFd, Clock::duration longest, bool busy) = 0;
  /** Makes it forget the pieces under way to these peers; returns all peers whose pieces it has forgotten. */
  virtual std::set<PeerId> forget(const std::set<PeerId>& peers) = 0;
  /** Forgets all pieces, and lets no peer at our memory any more. */
  virtual void shutDown() = 0;

  void ended(Operation& operation, const IoStatus& status, bool again) {
    scheduler_.ended(operation, status, again, Clock::now());
  }
  /** All pieces were forgotten because of a fault. */
  void allBroken(const IoStatus& fault) { scheduler_.broken(fault, Clock::now()); }
  bool hasWork() const { return scheduler_.requests() > 0; }
  /** Pieces are under way. */
  bool isMoving() const { return scheduler_.inFlight() > 0; }
  /** All registrations made anew, as after a reopening that invalidated them; published ones are gone if their key has changed. */
  void renewRegistrations();
  /** Before it: nothing refers to them any more. */
  void dropRegistrations();

 private:
  struct Memory {
    uint8_t* base = nullptr;
    size_t length = 0;
    uint8_t access = 0;
    std::shared_ptr<void> keep;
    std::unique_ptr<Registration> registration;
  };

  Posted post(Operation& operation, IoStatus& status) final;
  /** The way's part of it, with `localDescriptor` set. */
  virtual Posted postPiece(Operation& operation, IoStatus& status) = 0;

  void run();
  void runCommands();
  /** Those whose pieces have ended. */
  void disconnectLeaving();
  /** The registered memory that holds the range; null when there is none. */
  const Memory* localMemory(const uint8_t* start, uint64_t length) const;
  void registerNow(Memory memory, const Done& done);
  void wake();

  const TransportName name_;
  const BulkLimits limits_;
  Scheduler scheduler_;
  int wakeFd_ = -1;

  std::mutex inboxMutex_;
  std::vector<std::function<void()>> inbox_;
  bool closed_ = false;  // under inboxMutex_

  std::atomic<uint64_t> nextPeer_{1};
  std::atomic<uint64_t> nextRequest_{1};
  std::atomic<uint64_t> recoveries_{0};
  uint64_t nextPublished_ = 1;

  std::map<const uint8_t*, Memory> local_;  // by base
  std::map<uint64_t, Memory> published_;
  std::set<PeerId> leaving_;  // removed, but not disconnected

  std::atomic<bool> stopping_{false};
  std::atomic<Clock::rep> lastRound_{Clock::now().time_since_epoch().count()};
  bool finished_ = false;  // under inboxMutex_: the thread has nothing left to do
  std::condition_variable finishedSignal_;
  std::mutex joinMutex_;
  std::thread thread_;
};

}  // namespace kafabric::fabric
