#include "fabric/transport.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace kafabric::fabric {

namespace {

/** How long pieces under way to a peer that is gone may take to end by themselves. */
constexpr auto kDrain = std::chrono::milliseconds(100);
/** The longest sleep: what wakes the thread is reliable, so this only bounds the harm of a provider's bug. */
constexpr auto kLongestWait = std::chrono::milliseconds(100);

const IoStatus kStopped{ESHUTDOWN, "the transport is stopped"};

}  // namespace

Transport::Transport(TransportName name, const BulkLimits& limits)
    : name_(std::move(name)), limits_(limits), scheduler_(limits_, *this), wakeFd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wakeFd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Transport::~Transport() { ::close(wakeFd_); }

void Transport::startThread() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "fabric");
    run();
  });
}

void Transport::wake() {
  uint64_t one = 1;
  // Only a full counter can fail, and then the thread is woken already.
  if (::write(wakeFd_, &one, sizeof(one)) < 0) return;
}

bool Transport::command(std::function<void()> command) {
  {
    std::lock_guard lock(inboxMutex_);
    if (closed_) return false;
    inbox_.push_back(std::move(command));
    if (inbox_.size() > 1) return true;  // it is woken already
  }
  wake();
  return true;
}

PeerId Transport::addPeer(std::string address, Done done) {
  PeerId id = nextPeer_++;
  bool taken = command([this, id, address = std::move(address), done] {
    scheduler_.addPeer(id);
    connectPeer(id, address, [this, id, done](const IoStatus& status) {
      done(status);
      // Nobody else will.
      if (!status.ok()) removePeer(id, status);
    });
  });
  if (!taken) done(kStopped);
  return id;
}

void Transport::removePeer(PeerId peer, IoStatus why) {
  command([this, peer, why = std::move(why)] {
    if (!scheduler_.knows(peer)) return;
    Clock::time_point now = Clock::now();
    scheduler_.removePeer(peer, why, now, now + kDrain);
    leaving_.insert(peer);
  });
}

void Transport::registerMemory(uint8_t* base, size_t length, std::shared_ptr<void> keep, Done done) {
  bool taken = command([this, base, length, keep, done] { registerNow({base, length, 0, keep, nullptr}, done); });
  if (!taken) done(kStopped);
}

void Transport::registerNow(Memory memory, const Done& done) {
  auto next = local_.lower_bound(memory.base);
  bool overlaps = next != local_.end() && static_cast<size_t>(next->first - memory.base) < memory.length;
  if (next != local_.begin()) {
    auto before = std::prev(next);
    overlaps |= static_cast<size_t>(memory.base - before->first) < before->second.length;
  }
  if (memory.length == 0 || overlaps) return done({EINVAL, "the memory is empty, or overlaps what is registered already"});
  IoStatus status;
  memory.registration = makeRegistration(memory.base, memory.length, 0, status);
  if (memory.registration) local_.emplace(memory.base, std::move(memory));
  done(status);
}

void Transport::forgetMemory(uint8_t* base, Done done) {
  bool taken = command([this, base, done] {
    auto found = local_.find(base);
    if (found == local_.end()) return done({ENOENT, "the memory is not registered"});
    if (scheduler_.inFlight() > 0) return done({EBUSY, "transfers are under way"});
    local_.erase(found);
    done({});
  });
  if (!taken) done(kStopped);
}

void Transport::publish(uint8_t* base, size_t length, uint8_t access, std::shared_ptr<void> keep, PublishedDone done) {
  bool taken = command([this, base, length, access, keep, done] {
    if (length == 0 || (access & (kPeerReads | kPeerWrites)) == 0 || access > (kPeerReads | kPeerWrites)) {
      return done({EINVAL, "nothing would be published"}, {});
    }
    IoStatus status;
    Memory memory{base, length, access, keep, makeRegistration(base, length, access, status)};
    if (!memory.registration) return done(status, {});
    Published published{nextPublished_++, memory.registration->address, memory.registration->key};
    published_.emplace(published.id, std::move(memory));
    done({}, published);
  });
  if (!taken) done(kStopped, {});
}

void Transport::withdraw(uint64_t id, Done done) {
  bool taken = command([this, id, done] {
    bool was = published_.erase(id) > 0;
    done(was ? IoStatus{} : IoStatus{ENOENT, "the memory is not published"});
  });
  if (!taken) done(kStopped);
}

RequestId Transport::submit(BulkRequest request) {
  RequestId id = nextRequest_++;
  auto shared = std::make_shared<BulkRequest>(std::move(request));
  if (!command([this, id, shared] { scheduler_.submit(id, std::move(*shared), Clock::now()); }) && shared->done) {
    shared->done(kStopped);
  }
  return id;
}

void Transport::cancel(RequestId request) {
  command([this, request] { scheduler_.cancel(request, Clock::now()); });
}

void Transport::stop() {
  stopping_ = true;
  wake();
  std::lock_guard lock(joinMutex_);
  if (thread_.joinable()) thread_.join();
}

bool Transport::stopWithin(Clock::duration patience) {
  stopping_ = true;
  wake();
  {
    std::unique_lock lock(inboxMutex_);
    if (!finishedSignal_.wait_for(lock, patience, [&] { return finished_; })) return false;
  }
  stop();
  return true;
}

void Transport::runCommands() {
  std::vector<std::function<void()>> commands;
  {
    std::lock_guard lock(inboxMutex_);
    commands.swap(inbox_);
  }
  for (auto& command : commands) command();
}

void Transport::disconnectLeaving() {
  for (auto at = leaving_.begin(); at != leaving_.end();) {
    if (scheduler_.knows(*at)) {
      ++at;
      continue;
    }
    disconnectPeer(*at);
    at = leaving_.erase(at);
  }
}

void Transport::run() {
  while (!stopping_) {
    Clock::time_point now = Clock::now();
    lastRound_ = now.time_since_epoch().count();
    runCommands();
    std::set<PeerId> stuck = scheduler_.expire(now);
    if (!stuck.empty()) {
      ++recoveries_;
      scheduler_.interrupted(forget(stuck), now);
    }
    disconnectLeaving();
    Scheduler::Pumped pumped = scheduler_.pump(now);
    // What has ended makes room for more.
    if (poll() || pumped.posted) continue;
    auto longest = std::min<Clock::duration>(kLongestWait, scheduler_.nextDeadline() - now);
    wait(wakeFd_, std::max(longest, Clock::duration::zero()), pumped.busy);
    uint64_t signals = 0;
    if (::read(wakeFd_, &signals, sizeof(signals)) < 0) continue;  // nobody has signalled
  }
  {
    std::lock_guard lock(inboxMutex_);
    closed_ = true;
  }
  runCommands();
  shutDown();
  scheduler_.failAll(kStopped, Clock::now());
  local_.clear();
  published_.clear();
  std::lock_guard lock(inboxMutex_);
  finished_ = true;
  finishedSignal_.notify_all();
}

const Transport::Memory* Transport::localMemory(const uint8_t* start, uint64_t length) const {
  auto after = local_.upper_bound(start);
  if (after == local_.begin()) return nullptr;
  const Memory& memory = std::prev(after)->second;
  auto offset = static_cast<size_t>(start - memory.base);
  return offset <= memory.length && length <= memory.length - offset ? &memory : nullptr;
}

Carrier::Posted Transport::post(Operation& operation, IoStatus& status) {
  const Memory* memory = localMemory(operation.piece.local, operation.piece.length);
  if (!memory) {
    status = {EFAULT, "the local range is not in registered memory"};
    return Posted::kFailed;
  }
  // Without a registration the way is broken, and says so.
  operation.localDescriptor = memory->registration ? memory->registration->descriptor : nullptr;
  return postPiece(operation, status);
}

void Transport::dropRegistrations() {
  for (auto& [base, memory] : local_) memory.registration.reset();
  for (auto& [id, memory] : published_) memory.registration.reset();
}

void Transport::renewRegistrations() {
  IoStatus status;
  for (auto at = local_.begin(); at != local_.end();) {
    Memory& memory = at->second;
    memory.registration = makeRegistration(memory.base, memory.length, 0, status);
    at = memory.registration ? std::next(at) : local_.erase(at);
  }
  // What peers know of published memory is void: their keys were of the endpoint that is gone.
  published_.clear();
}

}  // namespace kafabric::fabric
