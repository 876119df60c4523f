// What goes over a TCP connection of a bulk transport. All numbers are little-endian; a machine that is not refuses to run it (tcp_transport.cc).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace kafabric::fabric {

enum class FrameKind : uint32_t {
  kHello = 1,   // the target names itself: the ticket is in `operation` and `address`, kTcpMagic in `key`
  kWelcome,     // the initiator knows the ticket
  kRead,        // `length` bytes at `address` of the region that `key` opens are asked for
  kWrite,       // they follow
  kReadAnswer,  // without error they follow
  kWriteAnswer,
};

struct Frame {
  FrameKind kind;
  int32_t error;  // of an answer: an errno value, or 0
  uint64_t operation;  // the initiator's number of it
  uint64_t address;
  uint64_t key;
  uint64_t length;
};
static_assert(sizeof(Frame) == 40, "frames have no padding");

constexpr uint64_t kTcpMagic = 0x31304b4c55424146;  // "FABULK01"
/** The longest piece; the initiator's configuration stays below. */
constexpr uint64_t kMaxPieceBytes = uint64_t{1} << 30;

/** Names one attachment, and is known to its two ends only. */
using Ticket = std::array<uint64_t, 2>;
/** What an encrypted connection of the attachment is keyed with. */
using TlsKey = std::array<uint8_t, 32>;

/** Where an initiator waits for the target that has the ticket; with port 0 it is the target's answer. */
struct TcpAddress {
  Ticket ticket{};
  uint16_t port = 0;
  std::optional<TlsKey> key;  // where connections are encrypted
  std::string host;  // numeric; empty: the host that the control connection goes to

  std::string encode() const;
  /** `encrypted`: a key is in it. False for what is none. */
  static bool decode(const std::string& text, bool encrypted, TcpAddress& address);
};

}  // namespace kafabric::fabric
