// Sockets of the TCP transport: numeric addresses only, for names would wait for a server.
#pragma once

#include <cstdint>
#include <string>

#include "store/io.h"

namespace kafabric::fabric {

/** What the last system call says: "what: reason". */
IoStatus systemFailure(const std::string& what);

/** A socket that listens and does not block (`host` empty: on every address; `wanted` 0: any port), and its port; -1, and why, when it cannot. */
int listenOn(const std::string& host, uint16_t wanted, uint16_t& port, IoStatus& status);

/** A socket that is being connected and does not block; -1, and why, when that cannot begin. */
int startConnecting(const std::string& host, uint16_t port, IoStatus& status);

}  // namespace kafabric::fabric
