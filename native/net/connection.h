// One accepted connection, as its reactor sees it.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>

#include "net/frame_reader.h"
#include "net/in_flight.h"
#include "net/output_queue.h"

namespace kafabric::net {

/** What the acceptor hands to a reactor. The receiver owns the socket. */
struct Accepted {
  int fd = -1;
  uint64_t connection = 0;
  uint32_t listener = 0;
  std::string ip;
  uint16_t port = 0;
};

/** Owns its socket. Used by its reactor's thread only. */
struct Connection {
  Connection(const Accepted& accepted, const Options& options, Inbox& inbox, Arena& arena, Limits& limits)
      : id(accepted.connection),
        fd(accepted.fd),
        ip(accepted.ip),
        inFlight(options, limits),
        reader(id, fd, options, inbox, arena, inFlight) {}
  ~Connection() { ::close(fd); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const uint64_t id;
  const int fd;
  const std::string ip;
  InFlight inFlight;
  FrameReader reader;
  OutputQueue output;

  uint32_t armed = 0;       // the epoll events that are asked for
  bool reading = true;      // false while a limit holds, or at the end
  bool waiting = false;     // is in the reactor's queue for shared room
  uint64_t sentAtMs = 0;    // when the peer last took something, or had nothing to take
  bool peerEnded = false;   // it has sent all that it will, of which some is not read yet
  bool touched = false;     // has replies that this turn has not tried to write
  bool closeWhenSent = false;
  bool closed = false;
  CloseReason closeReason = CloseReason::kClosedHere;  // for closeWhenSent

  // Neighbours in the list ordered by last activity.
  uint64_t activeAtMs = 0;
  Connection* older = nullptr;
  Connection* newer = nullptr;
};

}  // namespace kafabric::net
