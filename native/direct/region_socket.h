// The Unix socket over which clients of this machine hand over their memory: one message each, a token, a size and a descriptor.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace kafabric::direct {

constexpr size_t kTokenBytes = 16;

/** What a client sends, beside the descriptor; little-endian. */
struct RegionOffer {
  std::array<uint8_t, kTokenBytes> token;
  uint64_t size;
};
static_assert(sizeof(RegionOffer) == kTokenBytes + 8);

/** Who is at the other end, as the kernel says. */
struct Peer {
  uid_t uid;
  pid_t pid;
};

/** A listening socket with this abstract name, which does not block; negative: an errno value. */
int listenAbstract(const std::string& name);
/** Accepts a connection that does not block; negative: an errno value, EAGAIN when there is none. */
int acceptPeer(int listening, Peer& peer);
/**
 * Receives the one message of a client; `fd` is negative, or the caller's. A client that asks for the server's memory sends a size of 0 and no
 * descriptor. 0, EAGAIN, or another errno value when it is no message that makes sense: then there is no descriptor.
 */
int receiveOffer(int socket, RegionOffer& offer, int& fd);
/** The same of somebody from whom no descriptor is wanted: one that came is never this process's. */
int receiveWords(int socket, RegionOffer& offer);
/** Sends the answer, a region's number or a negative errno value; what is not taken at once is lost. */
void answerOffer(int socket, int64_t answer);

/** Answers a peer that nobody has time for with EAGAIN, whether or not it has asked yet, and closes its socket. */
void turnAway(int socket);

/** Where memory of the server is, in the file that comes with the answer. */
struct ServerMemory {
  int64_t bytes;  // or a negative errno value
  int64_t fileOffset;
};
/** Answers a client that asks for the server's memory, with its own descriptor of it. */
void answerWithMemory(int socket, const ServerMemory& memory, int fd);

/** The client's part: connects, hands over, waits at most `timeoutMs`. Returns the answer, or a negative errno value. */
int64_t offerRegion(const std::string& name, const RegionOffer& offer, int fd, int timeoutMs);

/**
 * The client's part: asks for the server's memory, waits at most `timeoutMs`. `socket` and `fd` are the caller's when memory.bytes is positive:
 * what the server lends is lent until the socket is closed.
 */
ServerMemory askForMemory(const std::string& name, const std::array<uint8_t, kTokenBytes>& token, int timeoutMs, int& socket, int& fd);

}  // namespace kafabric::direct
