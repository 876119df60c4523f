// What JavaScript's thread does of a reactor's work, and when.
#include <algorithm>

#include "net/reactor.h"

namespace kafabric::net {

namespace {

// What JavaScript's thread sends itself costs it no more than handing over would.
constexpr size_t kDirectReplies = 4;
constexpr size_t kDirectBytes = 64 << 10;
// After so many small turns the sockets are lent, after so many others taken back.
constexpr uint32_t kTurnsToLend = 64;
constexpr uint32_t kTurnsToTakeBack = 8;

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
  for (const Command& command : batch.commands) {
    bytes += command.length;
    bool small = command.kind == Command::Kind::kBytes || command.kind == Command::Kind::kMemory;
    if (!small || bytes > kDirectBytes) return false;
    auto found = connections_.find(command.connection);
    if (found == connections_.end()) continue;
    const Connection& connection = *found->second;
    // Anything but a plain send is the thread's: what is queued goes first, and what waits for a reply is read next.
    if (!connection.reading || connection.closeWhenSent || !connection.output.empty()) return false;
  }
  nowMs_ = monotonicMs();
  runBatch(batch);
  batch.clear();
  bool closed = !graveyard_.empty();
  bool news = inbox_.publish();
  turn.unlock();
  // A socket is closed by whoever ends the next turn.
  if (closed) notify();
  if (news) onEvents_();
  return true;
}

bool Reactor::smallTurn(int sockets) const {
  // Clients that pipeline keep two threads busy, and a change of thread serves several requests.
  auto ready = static_cast<uint32_t>(sockets);
  return !heavy_ && ready <= smallTurnSockets_ && turnFrames_ <= 2 * ready && inbox_.unhandled() <= 2 * smallTurnSockets_;
}

bool Reactor::considerLending(int sockets) {
  turns_ = smallTurn(sockets) ? turns_ + 1 : 0;
  bool asked = notified_.load(std::memory_order_relaxed);  // with something that may be long
  if (turns_ < kTurnsToLend || asked) return false;
  turns_ = 0;
  lent_.store(true, std::memory_order_relaxed);
  return true;
}

bool Reactor::serveHere() {
  if (!lent()) return false;  // nor is the thread to be waited for
  epoll_event events[kEventsPerTurn];
  {
    std::lock_guard turn(turn_);
    if (!lent()) return false;
    here_ = true;
    int count = epoll_wait(epoll_, events, kEventsPerTurn, 0);
    serve(events, std::max(count, 0));
    here_ = false;
    turns_ = smallTurn(std::max(count, 0)) ? 0 : turns_ + 1;
    if (!heavy_ && turns_ < kTurnsToTakeBack) return true;
  }
  takeBack();
  return false;
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
