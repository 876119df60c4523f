// One accepted connection, as its reactor sees it.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "net/frame_reader.h"
#include "net/in_flight.h"
#include "net/output_queue.h"
#include "net/tls.h"

namespace kafabric::net {

/** What the acceptor hands to a reactor. The receiver owns the socket. */
struct Accepted {
  int fd = -1;
  uint64_t connection = 0;
  uint32_t listener = 0;
  std::string ip;
  uint16_t port = 0;
  std::shared_ptr<const TlsServer> tls;  // null: in the clear
};

/** Owns its socket. Used by its reactor's thread only. */
struct Connection {
  Connection(const Accepted& accepted, const Options& options, Inbox& inbox, Arena& arena, Limits& limits)
      : id(accepted.connection),
        fd(accepted.fd),
        listener(accepted.listener),
        ip(accepted.ip),
        port(accepted.port),
        tls(accepted.tls ? std::make_unique<TlsStream>(*accepted.tls, fd) : nullptr),
        inFlight(options, limits),
        reader(id, fd, tls.get(), options, inbox, arena, inFlight) {}
  ~Connection() { ::close(fd); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const uint64_t id;
  const int fd;
  const uint32_t listener;
  const std::string ip;
  const uint16_t port;
  const std::unique_ptr<TlsStream> tls;
  InFlight inFlight;
  FrameReader reader;
  OutputQueue output;

  uint32_t armed = 0;       // the epoll events that are asked for
  bool reading = true;      // false while a limit holds, or at the end
  bool waiting = false;     // is in the reactor's queue for shared room
  bool held = false;        // is in the reactor's queue of those whose input of TLS is not all read
  uint64_t sentAtMs = 0;    // when the peer last took something, or had nothing to take
  bool peerEnded = false;   // it has sent all that it will, of which some is not read yet
  bool touched = false;     // has replies that this turn has not tried to write
  bool closeWhenSent = false;
  bool announced = false;  // JavaScript knows of it
  bool closed = false;
  CloseReason closeReason = CloseReason::kClosedHere;  // for closeWhenSent

  // Neighbours in the list ordered by last activity.
  uint64_t activeAtMs = 0;
  Connection* older = nullptr;
  Connection* newer = nullptr;
};

}  // namespace kafabric::net
