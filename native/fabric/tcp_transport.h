// The same bulk transfers over plain TCP, where libfabric is missing or peers share no provider of it.
//
// The target dials, as its control connection does, so that it may be behind a firewall; it serves the initiator's reads and writes of
// the memory that it has published, and checks them itself. Connections are encrypted where both ends ask for that ("tls-tcp"), and not otherwise.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "fabric/tcp_bare_loop.h"
#include "fabric/tcp_connection.h"
#include "fabric/transport.h"

namespace kafabric::fabric {

/** What this transport is called where libfabric's are called by the names of their providers. */
constexpr const char* kTcpTransportName = "plain-tcp";
/** The same, encrypted: keys go over control connections, which have to be encrypted then. */
constexpr const char* kTlsTransportName = "tls-tcp";

struct TcpOptions {
  bool listen = true;     // to be an initiator
  std::string host;       // numeric address to listen on; empty: all
  uint16_t port = 0;      // 0: any
  std::string advertised; // numeric address that targets are told; empty: that of their control connection
  bool encrypted = false; // with TLS
};

class TcpTransport final : public Transport, private TcpConnection::Receiver {
 public:
  /** Null, and why, when it cannot listen. */
  static std::unique_ptr<TcpTransport> open(const TcpOptions& options, const BulkLimits& limits, IoStatus& status);
  ~TcpTransport() override;

  std::shared_ptr<BareLoop> bareLoop() override;
  std::string offer() override;
  void answer(const std::string& offer, AnswerDone done) override;

 private:
  struct Region;
  /** A target that is to come, or has come. */
  struct Expected {
    Clock::time_point since;
    PeerId peer = 0;  // 0: it was not added yet
    TlsKey key{};     // of its connection, where that is encrypted
    std::shared_ptr<TcpBareLoop> loop;  // which gets its connection; null: this transport keeps it
    TcpConnection* connection = nullptr;
  };
  struct Link {
    std::unique_ptr<TcpConnection> connection;
    Clock::time_point since;
    enum class State { kConnecting, kStranger, kTarget, kInitiator, kLeaving } state;
    Ticket ticket{};
    AnswerDone answered;          // of a dialled one, until it is greeted
    std::string answer;
    std::shared_ptr<TcpBareLoop> loop;  // of one that leaves: who gets it once it is welcomed
    std::unordered_map<uint64_t, Operation*> operations;  // under way to this target
    bool wantsOutput = false;
    bool paused = false;
    bool unsent = false;  // something was posted that was not sent yet
    bool held = false;    // more of what is decrypted is to be read
  };

  TcpTransport(const TcpOptions& options, const BulkLimits& limits, std::unique_ptr<TlsContext> tls, int listener, uint16_t port);

  std::unique_ptr<Registration> makeRegistration(uint8_t* base, size_t length, uint8_t access, IoStatus& status) override;
  void connectPeer(PeerId peer, const std::string& address, Done done) override;
  void disconnectPeer(PeerId peer) override;
  Posted postPiece(Operation& operation, IoStatus& status) override;
  bool poll() override;
  void wait(int wakeFd, Clock::duration longest, bool busy) override;
  std::set<PeerId> forget(const std::set<PeerId>& peers) override;
  void shutDown() override;

  bool onFrame(TcpConnection& connection, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes) override;
  bool onBody(TcpConnection& connection, const Frame& frame) override;
  bool onHello(Link& link, const Frame& frame);
  bool onWelcome(Link& link);
  bool onAsked(Link& link, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes);
  bool onAnswer(Link& link, const Frame& frame, uint8_t*& body, uint64_t& bodyBytes);
  /** The memory that a frame asks for; null, and an errno value, when it must not have it. */
  uint8_t* permitted(const Frame& frame, uint8_t access, int& error) const;

  /** Where a target finds us, with a ticket of its own. */
  TcpAddress newAddress() const;
  /** The target may come. `loop`: see Expected. */
  void expect(const TcpAddress& address, std::shared_ptr<TcpBareLoop> loop);
  /** The connection goes to the loop for which it was made. */
  void handOver(int fd);
  void dial(const std::string& offer, AnswerDone done);
  void acceptAll();
  /** Whether anybody is accepted: not for a while after a lack of descriptors or memory. */
  void watchListener(bool on);
  Link& addLink(int fd, Link::State state, std::unique_ptr<TlsSession> tls);
  /** Of whoever comes; null where nothing is encrypted. */
  std::unique_ptr<TlsSession> tlsForStranger(int fd);
  void serve(int fd, uint32_t events);
  void sendPosted();
  /** Whether there was anything. */
  bool readHeld();
  void watch(Link& link);
  /** Closes it and fails what is under way on it. */
  void drop(int fd, const IoStatus& why);
  void dropLate();
  Expected* expectedOf(PeerId peer);

  const TcpOptions options_;
  const std::unique_ptr<TlsContext> tls_;  // null: nothing is encrypted
  const int listener_;  // -1: none
  const uint16_t port_;
  bool listenerRests_ = false;
  int epoll_ = -1;
  std::map<int, Link> links_;  // by descriptor
  std::vector<int> unsent_;    // of those that have something unsent
  std::vector<int> held_;      // of those that have more to be read than their sockets say
  std::map<PeerId, Ticket> peers_;
  std::map<uint64_t, Region*> regions_;  // published ones, by key
  uint64_t nextOperation_ = 1;
  Clock::time_point nextLook_;

  std::mutex ticketsMutex_;
  std::map<Ticket, Expected> tickets_;
};

/** Published memory, as long as it is. */
struct TcpTransport::Region final : Registration {
  Region(TcpTransport& transport, uint8_t* base, uint64_t length, uint8_t access)
      : owner(transport), base(base), length(length), access(access) {}
  ~Region() override;

  TcpTransport& owner;
  uint8_t* base;
  uint64_t length;
  uint8_t access;
};

}  // namespace kafabric::fabric
