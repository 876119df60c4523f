#include "fabric/scheduler.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace kafabric::fabric {

namespace {

/** What a small piece costs of a peer's share: about what its handling takes. */
constexpr uint64_t kLeastCost = 4096;

void refuse(BulkRequest& request, int error, const char* why) {
  if (request.done) request.done({error, why});
}

/** Whether the ranges can be what they claim to be. */
bool possible(const std::vector<Range>& ranges) {
  return std::all_of(ranges.begin(), ranges.end(), [](const Range& range) {
    auto local = reinterpret_cast<uintptr_t>(range.local);
    return range.length <= UINT64_MAX - range.address && range.length <= UINTPTR_MAX - local;
  });
}

}  // namespace

Scheduler::Scheduler(const BulkLimits& limits, Carrier& carrier) : limits_(limits), carrier_(carrier) {
  for (uint32_t i = 0; i < limits.maxInFlight; ++i) {
    operations_.push_back(std::make_unique<Operation>());
    free_.push_back(operations_.back().get());
  }
}

Scheduler::~Scheduler() = default;

template <typename Change>
void Scheduler::count(Peer& peer, Change change) {
  std::lock_guard lock(statisticsMutex_);
  change(peer.statistics);
  change(total_);
}

void Scheduler::addPeer(PeerId id) {
  auto peer = std::make_unique<Peer>();
  peer->id = id;
  std::lock_guard lock(statisticsMutex_);
  peers_.emplace(id, std::move(peer));
}

void Scheduler::removePeer(PeerId id, const IoStatus& status, Clock::time_point now, Clock::time_point drained) {
  auto found = peers_.find(id);
  if (found == peers_.end()) return;
  Peer& peer = *found->second;
  peer.removed = true;
  peer.waiting.clear();
  if (std::exchange(peer.ready, false)) ring_.erase(std::find(ring_.begin(), ring_.end(), &peer));
  if (peer.requests == 0) {
    std::lock_guard lock(statisticsMutex_);
    peers_.erase(found);
    return;
  }
  std::vector<Request*> its;
  for (auto& [requestId, request] : requests_) {
    if (request->peer == &peer) its.push_back(request.get());
  }
  for (Request* request : its) {
    doom(*request, status);
    if (request->inFlight > 0 && drained < request->deadline) {
      deadlines_.erase({request->deadline, request->id});
      request->deadline = drained;
      deadlines_.insert({drained, request->id});
    }
    settle(*request, now);
  }
}

void Scheduler::submit(RequestId id, BulkRequest ask, Clock::time_point now) {
  auto peer = peers_.find(ask.peer);
  if (peer == peers_.end() || peer->second->removed) return refuse(ask, ENOTCONN, "the peer is not attached");
  if (requests_.size() >= limits_.maxRequests) return refuse(ask, ENOBUFS, "too many requests are under way");
  if (ask.ranges.size() > limits_.maxRanges) return refuse(ask, EINVAL, "the request has too many ranges");
  if (!possible(ask.ranges)) return refuse(ask, EINVAL, "a range ends beyond the end of memory");
  auto request = std::make_unique<Request>();
  request->id = id;
  request->ask = std::move(ask);
  auto& ranges = request->ask.ranges;
  ranges.erase(std::remove_if(ranges.begin(), ranges.end(), [](const Range& range) { return range.length == 0; }),
               ranges.end());
  request->peer = peer->second.get();
  request->submitted = now;
  request->deadline = request->ask.deadline;
  ++request->peer->requests;
  Request& taken = *request;
  deadlines_.insert({taken.deadline, id});
  requests_.emplace(id, std::move(request));
  if (!taken.hasMore()) return settle(taken, now);
  taken.peer->waiting.push_back(&taken);
  makeReady(*taken.peer);
}

void Scheduler::cancel(RequestId id, Clock::time_point now) {
  auto found = requests_.find(id);
  if (found == requests_.end()) return;
  doom(*found->second, {ECANCELED, "the transfer was cancelled"});
  settle(*found->second, now);
}

void Scheduler::makeReady(Peer& peer) {
  if (peer.ready || peer.waiting.empty() || peer.inFlight >= limits_.window || peer.removed) return;
  peer.ready = true;
  ring_.push_back(&peer);
}

// Deficit round robin: each peer at the head of the ring posts about one piece's worth of bytes, then the next one may.
Scheduler::Pumped Scheduler::pump(Clock::time_point now) {
  Pumped result;
  size_t fruitless = 0;
  while (!ring_.empty() && !free_.empty() && fruitless < ring_.size()) {
    Peer& peer = *ring_.front();
    ring_.pop_front();
    peer.ready = false;
    if (peer.credit <= 0) peer.credit += static_cast<int64_t>(limits_.pieceBytes);
    bool busy = false;
    bool posted = false;
    while (peer.credit > 0 && !free_.empty() && peer.inFlight < limits_.window && postNext(peer, now, busy)) posted = true;
    result.posted |= posted;
    result.busy |= busy;
    fruitless = posted ? 0 : fruitless + 1;
    makeReady(peer);
  }
  return result;
}

bool Scheduler::postNext(Peer& peer, Clock::time_point now, bool& busy) {
  while (!peer.waiting.empty() && !peer.waiting.front()->hasMore()) peer.waiting.pop_front();
  if (peer.waiting.empty()) return false;
  Request& request = *peer.waiting.front();
  Operation& operation = *free_.back();
  operation.piece = nextPiece(request);
  operation.attempt = request.again.empty() ? 0 : request.again.back().attempt;
  operation.request = &request;
  operation.peer = peer.id;
  operation.direction = request.ask.direction;
  // Before it is posted: its end may be reported at once.
  free_.pop_back();
  ++request.inFlight;
  ++peer.inFlight;
  ++inFlight_;
  IoStatus status;
  Carrier::Posted posted = carrier_.post(operation, status);
  if (posted == Carrier::Posted::kBusy) {
    release(operation);
    busy = true;
    return false;
  }
  advance(request, operation.piece);
  if (!request.hasMore()) peer.waiting.pop_front();
  // Never more than a turn's credit, so that each turn of a peer posts something.
  uint64_t cost = std::max(operation.piece.length, std::min(kLeastCost, limits_.pieceBytes));
  peer.credit -= static_cast<int64_t>(cost);
  if (posted == Carrier::Posted::kFailed) ended(operation, status, false, now);
  return true;
}

Range Scheduler::nextPiece(const Request& request) const {
  if (!request.again.empty()) return request.again.back().piece;
  const Range& range = request.ask.ranges[request.nextRange];
  uint64_t length = std::min(range.length - request.nextOffset, limits_.pieceBytes);
  return {range.local + request.nextOffset, length, range.address + request.nextOffset, range.key};
}

void Scheduler::advance(Request& request, const Range& piece) {
  if (!request.again.empty()) return request.again.pop_back();
  request.nextOffset += piece.length;
  if (request.nextOffset < request.ask.ranges[request.nextRange].length) return;
  ++request.nextRange;
  request.nextOffset = 0;
}

void Scheduler::release(Operation& operation) {
  Request& request = *std::exchange(operation.request, nullptr);
  --request.inFlight;
  --request.peer->inFlight;
  --inFlight_;
  free_.push_back(&operation);
}

void Scheduler::ended(Operation& operation, const IoStatus& status, bool again, Clock::time_point now) {
  Request& request = *operation.request;
  Peer& peer = *request.peer;
  release(operation);
  if (status.ok()) {
    count(peer, [&](TransferStatistics& all) {
      ++all.operations;
      (operation.direction == Direction::kRead ? all.bytesRead : all.bytesWritten) += operation.piece.length;
    });
  } else if (again && !request.doomed && operation.attempt < limits_.retries) {
    sendAgain(request, operation.piece, operation.attempt + 1);
  } else {
    doom(request, status);
  }
  makeReady(peer);
  settle(request, now);
}

void Scheduler::sendAgain(Request& request, const Range& piece, uint32_t attempt) {
  if (!request.hasMore()) request.peer->waiting.push_front(&request);
  request.again.push_back({piece, attempt});
  count(*request.peer, [](TransferStatistics& all) { ++all.retries; });
}

void Scheduler::doom(Request& request, const IoStatus& status) {
  if (request.doomed) return;
  request.doomed = true;
  request.status = status;
}

void Scheduler::settle(Request& request, Clock::time_point now) {
  if (request.inFlight > 0 || request.hasMore()) return;
  Peer& peer = *request.peer;
  if (request.doomed) {
    auto& waiting = peer.waiting;
    waiting.erase(std::remove(waiting.begin(), waiting.end(), &request), waiting.end());
  }
  deadlines_.erase({request.deadline, request.id});
  auto owned = requests_.extract(request.id);
  count(peer, [&](TransferStatistics& all) {
    if (request.status.ok()) {
      ++all.requests;
      all.latency.add(now - request.submitted);
    } else if (request.status.error == ECANCELED) {
      ++all.cancelled;
    } else {
      ++all.errors;
      all.timeouts += request.status.error == ETIMEDOUT;
    }
  });
  if (--peer.requests == 0 && peer.removed) {
    std::lock_guard lock(statisticsMutex_);
    peers_.erase(peer.id);
  }
  if (request.ask.done) request.ask.done(request.status);
}

std::set<PeerId> Scheduler::expire(Clock::time_point now) {
  std::set<PeerId> stuck;
  std::vector<RequestId> due;
  for (auto at = deadlines_.begin(); at != deadlines_.end() && at->first <= now; ++at) due.push_back(at->second);
  for (RequestId id : due) {
    Request& request = *requests_.at(id);
    doom(request, {ETIMEDOUT, "the transfer did not end in its time"});
    if (request.inFlight > 0) stuck.insert(request.peer->id);
    settle(request, now);
  }
  return stuck;
}

std::vector<Operation*> Scheduler::underWay(const std::set<PeerId>* peers) const {
  std::vector<Operation*> found;
  for (const auto& operation : operations_) {
    if (operation->request && (!peers || peers->count(operation->peer) > 0)) found.push_back(operation.get());
  }
  return found;
}

void Scheduler::interrupted(const std::set<PeerId>& peers, Clock::time_point now) {
  for (Operation* operation : underWay(&peers)) {
    Request& request = *operation->request;
    release(*operation);
    if (!request.doomed) sendAgain(request, operation->piece, operation->attempt);
    makeReady(*request.peer);
    settle(request, now);
  }
}

void Scheduler::broken(const IoStatus& fault, Clock::time_point now) {
  for (Operation* operation : underWay(nullptr)) ended(*operation, fault, true, now);
}

void Scheduler::failAll(const IoStatus& status, Clock::time_point now) {
  for (auto& [id, peer] : peers_) peer->waiting.clear();
  for (auto& [id, request] : requests_) doom(*request, status);
  broken(status, now);
  std::vector<Request*> left;
  for (auto& [id, request] : requests_) left.push_back(request.get());
  for (Request* request : left) settle(*request, now);
}

Clock::time_point Scheduler::nextDeadline() const {
  return deadlines_.empty() ? Clock::time_point::max() : deadlines_.begin()->first;
}

TransferStatistics Scheduler::total() const {
  std::lock_guard lock(statisticsMutex_);
  return total_;
}

std::vector<std::pair<PeerId, TransferStatistics>> Scheduler::byPeer() const {
  std::lock_guard lock(statisticsMutex_);
  std::vector<std::pair<PeerId, TransferStatistics>> all;
  for (const auto& [id, peer] : peers_) all.emplace_back(id, peer->statistics);
  return all;
}

}  // namespace kafabric::fabric
