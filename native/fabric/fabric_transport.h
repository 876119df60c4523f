// Transfers by a provider of libfabric.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "fabric/endpoint.h"
#include "fabric/transport.h"

namespace kafabric::fabric {

/**
 * An endpoint with its thread, for what we ask of peers and what they ask of us: providers need the thread for both. The way out
 * when a peer does not answer is to close the endpoint and open another one, for nothing less makes a provider forget a piece; pieces
 * for other peers are sent again.
 *
 * Where the end of a write does not say that the peer sees the bytes (`Provider::endsWritesEarly`), the last of them is read back before the
 * piece counts as written: the card has to put all that came before into memory first.
 */
class FabricTransport final : public Transport {
 public:
  /** Takes milliseconds. Null, and why, when the provider cannot be opened. */
  static std::unique_ptr<FabricTransport> open(std::shared_ptr<const Library> library, std::shared_ptr<const Provider> provider,
                                               const BulkLimits& limits, IoStatus& status);
  ~FabricTransport() override { stop(); }

  std::shared_ptr<BareLoop> bareLoop() override;
  std::string offer() override;
  void answer(const std::string& offer, AnswerDone done) override;

 private:
  struct Region;
  struct Peer {
    std::string address;
    fi_addr_t handle = FI_ADDR_NOTAVAIL;
    IoStatus status;  // why it has no handle
  };
  struct Ended {
    Operation* operation;
    IoStatus status;
  };

  FabricTransport(std::unique_ptr<Domain> domain, std::unique_ptr<Endpoint> endpoint, const BulkLimits& limits);

  std::unique_ptr<Registration> makeRegistration(uint8_t* base, size_t length, uint8_t access, IoStatus& status) override;
  void connectPeer(PeerId peer, const std::string& address, Done done) override;
  void disconnectPeer(PeerId peer) override;
  Posted postPiece(Operation& operation, IoStatus& status) override;
  bool poll() override;
  void wait(int wakeFd, Clock::duration longest, bool busy) override;
  std::set<PeerId> forget(const std::set<PeerId>& peers) override;
  void shutDown() override;

  /** False, and why, when there is no memory for `confirmed_`. */
  bool prepareConfirming(IoStatus& status);
  ssize_t start(Operation& operation, fi_addr_t peer);
  /** Takes what has ended from the queue. False when the queue is of no use any more. */
  bool collect();
  void collectError();
  /** A piece has ended well. */
  void endedWell(Operation& operation);
  /** Begins to read back from pieces that are written, as far as the provider takes it. */
  void confirmWrites();
  /** Whether there was anything to report. */
  bool report();
  void drain();
  void closeEndpoint();
  void reopen();
  void setAddress();
  void waitPolling(int wakeFd, Clock::duration longest);

  std::unique_ptr<Domain> domain_;
  std::unique_ptr<Endpoint> endpoint_;  // null: it could not be opened again
  IoStatus broken_;                     // why
  Clock::time_point nextReopening_;
  std::map<PeerId, Peer> peers_;
  std::vector<Ended> ended_;
  std::deque<Operation*> unconfirmed_;  // written, but nothing was read back yet
  uint8_t confirmed_ = 0;               // what is read back, which nobody looks at
  std::unique_ptr<Registration> confirmedMemory_;
  IoStatus stray_;          // an error that names no piece; not ok() until it is taken
  Clock::time_point lastWork_;  // of a provider that must be polled

  std::mutex addressMutex_;
  std::string address_;
};

}  // namespace kafabric::fabric
