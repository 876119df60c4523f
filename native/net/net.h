// The network part: an acceptor, reactors, and what they share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "net/acceptor.h"
#include "net/commands.h"
#include "net/inbox.h"
#include "net/limits.h"
#include "net/options.h"
#include "net/reactor.h"

namespace kafabric::net {

/** Connection ids are below 2^53 and never used again; `id % threads` is the reactor. */
class Net {
 public:
  struct Stats {
    uint64_t receivedBytes = 0;
    uint64_t sentBytes = 0;
    uint64_t frames = 0;
    uint64_t replies = 0;
    uint64_t givenBackBytes = 0;
    uint64_t connections = 0;
    uint64_t inFlightBytes = 0;
  };

  /** `onEvents` is called on any reactor's thread when some inbox has something new. Throws std::system_error. */
  Net(const Options& options, Arena& arena, std::function<void()> onEvents);
  ~Net();
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  /** See Acceptor::listen. */
  Acceptor::Listening listen(const std::string& ip, uint16_t port, std::shared_ptr<const TlsServer> tls = nullptr) {
    return acceptor_.listen(ip, port, std::move(tls));
  }
  /** See Acceptor::setTls. */
  void setTls(uint32_t listener, std::shared_ptr<const TlsServer> tls) { acceptor_.setTls(listener, std::move(tls)); }
  void stopAccepting() { acceptor_.stop(); }
  /** Begins a drain in each reactor, each of which reports kDrained in its inbox. */
  void drain(uint64_t deadlineMs);
  /** Closes everything and joins all threads. */
  void stop();

  size_t reactors() const { return reactors_.size(); }
  Reactor& reactor(size_t index) { return *reactors_[index]; }
  size_t reactorOf(uint64_t connection) const { return connection % reactors_.size(); }
  /** The consumer is done with the oldest `count` events of this reactor. */
  void release(size_t reactor, uint32_t count);
  Stats stats() const;

 private:
  void assign(Accepted accepted);
  void refuse(uint32_t listener, const std::string& ip);

  const Options options_;
  Limits limits_;
  Arena& arena_;
  std::vector<std::unique_ptr<Reactor>> reactors_;
  Acceptor acceptor_;
  int arenaSubscription_ = 0;
  uint64_t nextSequence_ = 1;  // the acceptor's thread only
};

}  // namespace kafabric::net
