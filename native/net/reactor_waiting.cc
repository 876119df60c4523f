// Connections that wait, for their own requests or for room that all share.
#include "net/reactor.h"

namespace kafabric::net {

bool Reactor::readOn(Connection& connection) {
  bool limited = !connection.reading && !connection.waiting && !connection.closeWhenSent && !draining_;
  if (!limited || connection.inFlight.full()) return false;
  receive(connection);
  return true;
}

void Reactor::waitForRoom(Connection& connection) {
  connection.reading = false;
  if (connection.waiting) return;
  connection.waiting = true;
  (connection.inFlight.beyondShare() ? waitingToArrive_ : waiting_).push_back(connection.id);
}

void Reactor::retryWaiting() {
  retry(waiting_);
  retry(waitingToArrive_);
}

void Reactor::retry(std::deque<uint64_t>& queue) {
  for (size_t left = queue.size(); left > 0; --left) {
    uint64_t id = queue.front();
    queue.pop_front();
    auto found = connections_.find(id);
    if (found == connections_.end()) continue;
    Connection& connection = *found->second;
    connection.waiting = false;
    if (draining_ || connection.closeWhenSent) continue;
    receive(connection);
    // Still no room: the rest would not get any either, and must not overtake.
    if (!queue.empty() && queue.back() == id) {
      queue.pop_back();
      queue.push_front(id);
      return;
    }
  }
}

}  // namespace kafabric::net
