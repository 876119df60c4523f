// What JavaScript's thread does of a reactor's work, and when.
#include <time.h>

#include <algorithm>

#include "net/reactor.h"

namespace kafabric::net {

namespace {

// What JavaScript's thread sends itself costs it no more than handing over would.
constexpr size_t kDirectReplies = 4;
constexpr size_t kDirectBytes = 64 << 10;
// What it sends while nothing else waits for it: the other thread's wake-up takes longer than copying so much.
constexpr size_t kDirectBytesWhenIdle = 256 << 10;
// After so many small turns the sockets are lent, after so many others taken back.
constexpr uint32_t kTurnsToLend = 64;
constexpr uint32_t kTurnsToTakeBack = 8;
// How long handlers are taken for slow or quick, until they are measured again: they become faster with use, and their work changes.
constexpr uint32_t kVerdictTurns = 1024;
// Up to this many sockets ready at a time, and events not yet handled, there is nothing that two threads could share.
constexpr int kFewSockets = 4;
constexpr uint64_t kFewEvents = 8;
// Handlers alone, in the caller's CPU. Above it, a second thread has something to do while JavaScript handles a frame; below, changing threads
// would cost more.
constexpr uint64_t kSlowFrameNs = 8'000;

/** The calling thread's CPU. */
uint64_t threadCpuNs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

void Reactor::submit(CommandBatch& batch) {
  if (runHere(batch)) return;
  if (lent()) takeBack();
  {
    std::lock_guard lock(mutex_);
    if (submitted_.empty()) {
      std::swap(submitted_, batch);
    } else {
      uint64_t base = submitted_.bytes.size();
      submitted_.bytes.insert(submitted_.bytes.end(), batch.bytes.begin(), batch.bytes.end());
      for (Command& command : batch.commands) {
        if (command.kind == Command::Kind::kBytes) command.offset += base;
        submitted_.commands.push_back(std::move(command));
      }
    }
  }
  batch.clear();
  notify();
}

bool Reactor::runHere(CommandBatch& batch) {
  if (!lent() && batch.commands.size() > kDirectReplies) return false;
  std::unique_lock turn(turn_, std::try_to_lock);
  if (!turn || draining_) return false;
  {
    std::lock_guard lock(mutex_);
    if (!submitted_.empty()) return false;  // must not be overtaken
  }
  uint64_t bytes = 0;
  uint64_t most = inbox_.unhandled() == 0 ? kDirectBytesWhenIdle : kDirectBytes;
  for (const Command& command : batch.commands) {
    bytes += command.length;
    bool small = command.kind == Command::Kind::kBytes || command.kind == Command::Kind::kMemory;
    if (!small || bytes > most) return false;
    auto found = connections_.find(command.connection);
    if (found == connections_.end()) continue;
    const Connection& connection = *found->second;
    // Anything but a plain send is the thread's: what is queued goes first, and what waits for a reply is read next.
    if (!connection.reading || connection.closeWhenSent || !connection.output.empty() || connection.tls) return false;
  }
  nowMs_ = monotonicMs();
  uint64_t startNs = turns_ > 0 && lent() ? threadCpuNs() : 0;
  runBatch(batch);
  if (startNs > 0) turnsSocketCpuNs_ += threadCpuNs() - startNs;
  batch.clear();
  bool closed = !graveyard_.empty();
  bool news = inbox_.publish();
  turn.unlock();
  // A socket is closed by whoever ends the next turn.
  if (closed) notify();
  if (news) onEvents_();
  return true;
}

bool Reactor::considerLending(int sockets) {
  bool few = sockets <= kFewSockets && inbox_.unhandled() <= kFewEvents;
  if (slowTurns_ > 0) --slowTurns_;
  turns_ = light(sockets) && (few || slowTurns_ == 0) ? turns_ + 1 : 0;
  bool asked = notified_.load(std::memory_order_relaxed);  // with something that may be long
  if (turns_ < kTurnsToLend || asked) return false;
  turns_ = 0;
  lent_.store(true, std::memory_order_relaxed);
  return true;
}

bool Reactor::considerTakingBack(int sockets) {
  if (heavy_) return true;
  bool trusted = trustedTurns_ > 0 && light(sockets);
  if (trusted) --trustedTurns_;
  if (trusted || (light(sockets) && sockets <= kFewSockets)) {
    turns_ = 0;
    return false;
  }
  if (turns_ == 0) {
    turnsStartCpuNs_ = threadCpuNs();
    turnsSocketCpuNs_ = 0;
    turnsFrames_ = 0;
  }
  if (++turns_ <= kTurnsToTakeBack) {
    turnsFrames_ += turnFrames_;
    return false;
  }
  turns_ = 0;
  bool slow = threadCpuNs() - turnsStartCpuNs_ - turnsSocketCpuNs_ > kSlowFrameNs * turnsFrames_;
  slowTurns_ = slow ? kVerdictTurns : 0;
  trustedTurns_ = slow ? 0 : kVerdictTurns;
  return slow || !light(sockets);
}

Reactor::Served Reactor::serveHere() {
  if (!lent()) return Served::kNotLent;  // nor is the thread to be waited for
  epoll_event events[kEventsPerTurn];
  {
    std::lock_guard turn(turn_);
    if (!lent()) return Served::kNotLent;
    here_ = true;
    uint64_t startNs = turns_ > 0 ? threadCpuNs() : 0;
    int count = epoll_wait(epoll_, events, kEventsPerTurn, 0);
    bool news = serve(events, std::max(count, 0));
    if (startNs > 0) turnsSocketCpuNs_ += threadCpuNs() - startNs;
    here_ = false;
    if (!considerTakingBack(std::max(count, 0))) return count > 0 || news ? Served::kSome : Served::kNone;
  }
  takeBack();
  return Served::kNotLent;
}

void Reactor::takeBack() {
  {
    std::lock_guard turn(turn_);
    turns_ = 0;
    lent_.store(false, std::memory_order_relaxed);
  }
  parked_.notify_one();
  notify();  // commands that were left to the thread
}

}  // namespace kafabric::net
