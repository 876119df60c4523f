// The thread that hears what clients of this machine want at the Unix socket, so that nobody else waits for them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "direct/region_socket.h"

namespace kafabric::direct {

class RegionServer {
 public:
  /** Of peers that have connected and are not answered; a new one is turned away at it. */
  static constexpr size_t kMaxPeers = 256;
  /** Of one user: others still get in. */
  static constexpr size_t kMaxPeersOfUser = kMaxPeers / 2;
  /** Peers that are kept because memory is lent to them. */
  static constexpr size_t kMaxKept = 4096;
  /** A peer that says nothing for so long is closed. */
  static constexpr uint64_t kSilentMs = 5'000;
  /** Each user may connect so often in a second, and so often at once. */
  static constexpr uint32_t kPerSecond = 200;
  static constexpr uint32_t kBurst = 1'000;
  /** Users whose rate is remembered; beyond that all others share one. */
  static constexpr size_t kMaxUsers = 1'024;

  struct Request {
    enum class Kind : uint8_t {
      kOffer,  // hands over memory: `fd`, which the receiver owns unless it is negative; or `error` says why it cannot be used. The answer is owed
      kMap,    // asks for memory of the server; the answer is owed
      kGone,   // a peer that was kept has gone
    };
    Kind kind;
    uint64_t peer = 0;
    RegionOffer offer{};
    Peer who{};
    int fd = -1;
    int error = 0;
  };

  struct Stats {
    uint64_t turnedAway = 0;  // because of a rate or a limit
  };

  /** Whether memory of this user is wanted; any thread. */
  using Trust = std::function<bool(uid_t)>;

  /**
   * Takes over the listening socket. `onRequests` is called on the thread when there is something to take. Offers of users who are not trusted are told of
   * with EACCES. Throws std::system_error.
   */
  RegionServer(int listening, std::function<void()> onRequests, Trust isTrusted = [](uid_t) { return true; });
  ~RegionServer() { stop(); }
  RegionServer(const RegionServer&) = delete;
  RegionServer& operator=(const RegionServer&) = delete;

  /** Any thread. */
  std::vector<Request> take();
  /** Answers an offer, or refuses memory with a negative errno value; the peer is closed then. */
  void answer(uint64_t peer, int64_t number);
  /**
   * Answers who asked for memory, which is what `fd` is of; it stays the caller's. The peer is kept, unless `memory` is an error; false: it
   * is not, there are too many, or it has gone, and there will be no kGone.
   */
  bool answer(uint64_t peer, const ServerMemory& memory, int fd);
  Stats stats() const { return {turnedAway_.load(std::memory_order_relaxed)}; }
  /** Closes all peers and joins the thread; requests that were not taken are gone. */
  void stop();

 private:
  struct Connected {
    int fd;
    Peer who;
    uint64_t untilMs;  // for what it has to say
    bool asked = false;
    bool maps = false;  // asked for memory of the server
    bool kept = false;
  };
  struct Rate {
    double tokens = kBurst;
    uint64_t atMs = 0;
  };

  void run();
  void closeOwn();
  /** False when this process can have no more descriptors now. */
  bool acceptAll(uint64_t nowMs);
  bool allows(uid_t user, uint64_t nowMs);
  bool hasRoomFor(uid_t user) const;
  void receive(uint64_t id, Connected& peer);
  void closeSilent(uint64_t nowMs);
  void forget(uint64_t id);

  const int listening_;
  const int wakeFd_;
  const std::function<void()> onRequests_;
  const Trust isTrusted_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> turnedAway_{0};

  std::mutex mutex_;  // guards what follows
  std::unordered_map<uint64_t, Connected> peers_;
  std::vector<Request> requests_;
  uint64_t nextId_ = 1;
  size_t kept_ = 0;
  std::unordered_map<uid_t, Rate> rates_;  // the thread's own
};

}  // namespace kafabric::direct
