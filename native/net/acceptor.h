// One thread that accepts connections and hands them out to the reactors.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/connection.h"
#include "net/limits.h"
#include "net/options.h"

namespace kafabric::net {

class Acceptor {
 public:
  struct Callbacks {
    /** A new connection, its socket options set; `connection` is not yet numbered. */
    std::function<void(Accepted)> accepted;
    /** A connection was closed at once because its address has too many. */
    std::function<void(uint32_t listener, const std::string& ip)> refused;
  };

  /** Throws std::system_error. */
  Acceptor(const Options& options, Limits& limits, Callbacks callbacks);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  struct Listening {
    uint32_t listener;
    uint16_t port;
  };

  // Any one thread:
  /**
   * Listens at a numeric IPv4 or IPv6 address; port 0 takes a free one. Throws std::system_error, with the errno of the
   * system call that failed. With `tls` connections speak it.
   */
  Listening listen(const std::string& ip, uint16_t port, std::shared_ptr<const TlsServer> tls = nullptr);
  /** For connections that come from now on. */
  void setTls(uint32_t listener, std::shared_ptr<const TlsServer> tls);
  /** Closes the listening sockets and joins the thread. */
  void stop();

  /** Any thread: looks again whether connections may be accepted. */
  void notify();

 private:
  void run();
  void acceptSome(uint32_t listener, int fd);
  bool acceptOne(uint32_t listener, int fd);
  void pause(uint64_t retryAtMs);
  void resume();

  const Options& options_;
  Limits& limits_;
  Callbacks callbacks_;
  int epoll_ = -1;
  int wakeFd_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};

  std::mutex mutex_;
  std::vector<int> listeners_;  // by listener id
  std::vector<std::shared_ptr<const TlsServer>> tls_;  // likewise
  bool paused_ = false;         // listening sockets are not watched
  uint64_t retryAtMs_ = 0;      // when to watch them again; 0: when notified
};

}  // namespace kafabric::net
