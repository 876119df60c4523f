// One thread that serves a share of the connections.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "arena/arena.h"
#include "net/activity_list.h"
#include "net/commands.h"
#include "net/connection.h"
#include "net/inbox.h"
#include "net/limits.h"
#include "net/options.h"

namespace kafabric::net {

/**
 * Reads frames into its inbox, writes replies, and closes what is idle or broken. A connection that must wait, for its
 * peer or for room, costs nothing until it can go on, and never holds up another.
 *
 * A request costs two thread changes, there and back, which is most of what a small one costs when it is alone. So
 * * JavaScript's thread sends a few small replies itself, where nothing is queued before them; and
 * * while there is little to do, the reactor lends its sockets to JavaScript's event loop, which then waits for them and serves them
 *   (serveHere). Large frames, long replies, pipelining clients, and many sockets at a time when handlers are slow, give them back.
 * Whoever serves holds `turn_`; only the reactor's thread ever waits for it for long.
 */
class Reactor {
 public:
  struct Stats {
    std::atomic<uint64_t> receivedBytes{0};
    std::atomic<uint64_t> sentBytes{0};
    std::atomic<uint64_t> frames{0};
    std::atomic<uint64_t> replies{0};
    std::atomic<uint64_t> givenBackBytes{0};  // of replies that wait for slow peers, now sent from files
    std::atomic<uint32_t> connections{0};
  };

  /** `onEvents` is called on the reactor's thread when the inbox has something new. Throws std::system_error. */
  Reactor(const Options& options, Limits& limits, Arena& arena, std::function<void()> onEvents);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  void start();
  /** Closes everything at once and joins the thread. */
  void stop();

  // Any thread:
  /** Takes over an accepted connection. */
  void adopt(Accepted accepted);
  /** Reports a connection that was not accepted; a flood of reports is cut short. */
  void refuse(uint32_t listener, std::string ip);
  /** Reads no more frames, closes each connection once its replies are written, and all of them at the deadline. */
  void drain(uint64_t deadlineMs);
  /** Makes the reactor look for commands and for room. */
  void notify();

  // JavaScript's thread:
  /** Takes the commands and leaves the batch empty. */
  void submit(CommandBatch& batch);
  /** True while serveHere is to be called whenever pollFd is readable. It becomes true with a call of onEvents. */
  bool lent() const { return lent_.load(std::memory_order_relaxed); }
  int pollFd() const { return epoll_; }
  enum class Served : uint8_t {
    kSome,
    kNone,      // nothing was ready
    kNotLent,   // the thread serves, from now on or already
  };
  /** Serves what is ready, within bounds that suit the caller. */
  Served serveHere();

  Inbox& inbox() { return inbox_; }
  const Stats& stats() const { return stats_; }

 private:
  // Few enough that clients get on with the first answers while the last requests are handled.
  static constexpr int kEventsPerTurn = 32;

  void run();
  /** One turn; true if the inbox has something new. */
  bool serve(epoll_event* events, int count);
  /** Whether JavaScript is to hear what is new in the inbox, or was kept back before: not while a large frame is about to follow another one. */
  bool announces(bool news);
  /** Nothing met that is not for JavaScript's thread; clients that pipeline keep two threads busy, and a change serves several requests. */
  bool light(int sockets) const { return !heavy_ && turnFrames_ <= 2 * static_cast<uint64_t>(sockets); }
  bool considerLending(int sockets);
  /** Counts the turns of JavaScript's thread; true if its sockets are for the other one. */
  bool considerTakingBack(int sockets);
  void takeBack();
  /** Sends a few small replies at once; false if they are for the reactor's thread. */
  bool runHere(CommandBatch& batch);
  void runCommands();
  void runBatch(CommandBatch& batch);
  void open(const Accepted& accepted);
  void onSocketEvent(Connection& connection, uint32_t events);
  /** Goes on with the agreement on TLS; true when the connection can be read from. */
  bool shake(Connection& connection);
  /** Tells JavaScript of it, with the name in its certificate or why it has come to nothing. */
  void announce(Connection& connection, const std::string& subject = {}, const std::string& failure = {});
  /** Reads what was taken from sockets of TLS, which will not say that it is there. */
  void readHeld();
  void closeUnshaken();
  void onPeerEnded(Connection& connection);
  void receive(Connection& connection);
  void send(Connection& connection);
  void finishReplies(Connection& connection);
  /** Reads from a connection that had reached its own limit, if it is below it now; false otherwise. */
  bool readOn(Connection& connection);
  void retryWaiting();
  void retry(std::deque<uint64_t>& queue);
  void waitForRoom(Connection& connection);
  bool someWait() const { return !waiting_.empty() || !waitingToArrive_.empty(); }
  void startDrain(uint64_t deadlineMs);
  void closeExpired();
  void closeIdle();
  void closeStalled();
  void giveBackHeldMemory();
  bool holdsUp(const Connection& connection) const;
  void closeUnreachable();
  void close(Connection& connection, CloseReason reason, double detail = 0);
  void closeWhenSent(Connection& connection, CloseReason reason);
  void arm(Connection& connection);
  int waitMs() const;

  const Options& options_;
  Limits& limits_;
  Arena& arena_;
  std::function<void()> onEvents_;
  Inbox inbox_;
  Stats stats_;

  int epoll_ = -1;
  int wakeFd_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> notified_{false};

  std::mutex mutex_;  // guards what other threads hand in
  CommandBatch submitted_;
  std::vector<Accepted> accepted_;
  std::vector<std::pair<uint32_t, std::string>> refused_;
  uint64_t drainDeadlineMs_ = 0;

  std::mutex turn_;  // guards all that follows
  std::condition_variable parked_;  // the thread waits here while its sockets are lent
  std::atomic<bool> lent_{false};   // set by the thread, cleared by JavaScript's, both with turn_
  bool here_ = false;               // JavaScript's thread serves
  bool heavy_ = false;              // this turn met something that is not for JavaScript's thread
  uint64_t turnFrames_ = 0;         // received in this turn
  bool moreSoon_ = false;           // all connections that had some of these have begun another large one
  uint64_t keptBack_ = 0;           // large frames of the turns before, of which JavaScript has not heard
  uint32_t trustedTurns_ = 0;       // for so many, JavaScript is taken to be quick
  uint32_t turns_ = 0;              // consecutive ones that speak for lending, or for taking back
  uint64_t turnsStartCpuNs_ = 0;    // what the thread had used when those that may speak for taking back began
  uint64_t turnsSocketCpuNs_ = 0;   // since then, in system calls for sockets
  uint64_t turnsFrames_ = 0;        // and what those turns delivered
  uint32_t slowTurns_ = 0;          // for so many, JavaScript is taken to need long for each frame: two threads get more done
  CommandBatch running_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> graveyard_;  // closed in this turn: epoll may still name them
  std::vector<Connection*> touched_;
  std::deque<uint64_t> waiting_;  // connections that need shared room, first come first served
  std::deque<uint64_t> waitingToArrive_;  // as waiting_, for frames that come in slowly to make room for others that do
  std::deque<uint64_t> held_;     // connections of TLS whose input is not all read
  std::deque<std::pair<uint64_t, uint64_t>> shaking_;  // when TLS has to be agreed on, and the connection; in this order
  ActivityList activity_;
  uint64_t nowMs_ = 0;
  uint64_t nextReachCheckMs_ = 0;
  uint64_t nextHeldCheckMs_ = 0;
  size_t blocked_ = 0;  // connections whose peers do not take what is to be sent
  bool draining_ = false;
  bool drained_ = false;
  uint64_t deadlineMs_ = 0;
};

/** Milliseconds of a monotonic clock; what deadlines are measured by. */
uint64_t monotonicMs();

}  // namespace kafabric::net
