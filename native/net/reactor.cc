#include "net/reactor.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

#include "store/start_thread.h"

namespace kafabric::net {

namespace {

constexpr size_t kInboxBytes = 2 << 20;
constexpr size_t kMaxRefusals = 64;  // reported in one turn
// Large frames that follow each other are handed to JavaScript together: so many, if each has come within so long after the one before.
constexpr uint64_t kMostTogether = 4;
constexpr int kTogetherMs = 1;

std::system_error lastError(const char* what) { return {errno, std::generic_category(), what}; }

// Room for the largest kept remainder and a full read, several times over.
size_t inboxBytes(const Options& options) { return std::max<size_t>(kInboxBytes, 8 * size_t{options.largeFrameBytes}); }

}  // namespace

uint64_t monotonicMs() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

Reactor::Reactor(const Options& options, Limits& limits, Arena& arena, std::function<void()> onEvents)
    : options_(options),
      limits_(limits),
      arena_(arena),
      onEvents_(std::move(onEvents)),
      inbox_(inboxBytes(options)) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wakeFd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write wakes once; there is nothing to read back
  if (epoll_ < 0 || wakeFd_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeFd_, &event) != 0) {
    std::system_error error = lastError("reactor");
    if (epoll_ >= 0) ::close(epoll_);
    if (wakeFd_ >= 0) ::close(wakeFd_);
    throw error;
  }
}

Reactor::~Reactor() {
  stop();
  for (const Accepted& accepted : accepted_) ::close(accepted.fd);
  ::close(epoll_);
  ::close(wakeFd_);
}

void Reactor::start() {
  thread_ = startThread("kafabric-net", [this] { run(); });
}

void Reactor::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard turn(turn_);
    stopping_.store(true);
  }
  parked_.notify_one();
  notify();
  thread_.join();
}

void Reactor::adopt(Accepted accepted) {
  stats_.connections.fetch_add(1, std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    accepted_.push_back(std::move(accepted));
  }
  notify();
}

void Reactor::refuse(uint32_t listener, std::string ip) {
  {
    std::lock_guard lock(mutex_);
    if (refused_.size() < kMaxRefusals) refused_.emplace_back(listener, std::move(ip));
  }
  notify();
}

void Reactor::drain(uint64_t deadlineMs) {
  {
    std::lock_guard lock(mutex_);
    drainDeadlineMs_ = std::max<uint64_t>(deadlineMs, 1);
  }
  notify();
}

void Reactor::notify() {
  if (notified_.exchange(true, std::memory_order_seq_cst)) return;
  uint64_t one = 1;
  // A full counter cannot happen here, and would mean that the reactor has been told.
  [[maybe_unused]] ssize_t written = write(wakeFd_, &one, sizeof one);
}

void Reactor::run() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);  // of sockets that OpenSSL writes to
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  epoll_event events[kEventsPerTurn];
  std::unique_lock turn(turn_);
  nowMs_ = monotonicMs();
  while (!stopping_.load(std::memory_order_relaxed)) {
    int count = 0;
    int wait = keptBack_ > 0 ? kTogetherMs : waitMs();
    if (lent()) {
      if (wait < 0) parked_.wait(turn);
      else parked_.wait_for(turn, std::chrono::milliseconds(wait));
    } else {
      turn.unlock();
      count = epoll_wait(epoll_, events, kEventsPerTurn, wait);
      turn.lock();
    }
    bool news = serve(events, std::max(count, 0));
    if (!lent() && count > 0) news |= considerLending(count);
    if (!announces(news)) continue;
    turn.unlock();
    onEvents_();
    turn.lock();
  }
  for (auto& [id, connection] : connections_) limits_.removeConnection(connection->ip);
  stats_.connections.store(0, std::memory_order_relaxed);
  connections_.clear();
  graveyard_.clear();
}

bool Reactor::announces(bool news) {
  bool waits = !inbox_.takeOther() && news && moreSoon_ && !lent() && !draining_ && !someWait() &&
               keptBack_ + turnFrames_ < kMostTogether;
  bool kept = keptBack_ > 0;
  keptBack_ = waits ? keptBack_ + turnFrames_ : 0;
  return !waits && (news || kept);
}

bool Reactor::serve(epoll_event* events, int count) {
  nowMs_ = monotonicMs();
  heavy_ = false;
  moreSoon_ = true;
  turnFrames_ = 0;
  inbox_.flushControls();
  for (int i = 0; i < count; ++i) {
    auto* connection = static_cast<Connection*>(events[i].data.ptr);
    if (connection) {
      onSocketEvent(*connection, events[i].events);
    } else {
      notified_.store(false, std::memory_order_seq_cst);
      runCommands();
    }
  }
  readHeld();
  retryWaiting();
  closeExpired();
  // Only the thread has events of an earlier epoll_wait in hand, and it has them no longer when it lends.
  graveyard_.clear();
  if (draining_ && !drained_ && connections_.empty()) {
    drained_ = true;
    inbox_.addControl(EventType::kDrained, 0, 0, 0);
  }
  heavy_ |= draining_ || someWait() || !held_.empty();
  return inbox_.publish();
}

void Reactor::runCommands() {
  std::vector<Accepted> accepted;
  std::vector<std::pair<uint32_t, std::string>> refused;
  uint64_t drainDeadlineMs;
  {
    std::lock_guard lock(mutex_);
    heavy_ |= here_ && !submitted_.empty();
    if (!here_) std::swap(running_, submitted_);
    std::swap(accepted, accepted_);
    std::swap(refused, refused_);
    drainDeadlineMs = std::exchange(drainDeadlineMs_, 0);
  }
  for (const Accepted& one : accepted) open(one);
  for (const auto& [listener, ip] : refused) {
    if (inbox_.hasRoom()) inbox_.addControl(EventType::kRefused, 0, listener, 0, ip);
  }
  runBatch(running_);
  running_.clear();
  if (drainDeadlineMs > 0) startDrain(drainDeadlineMs);
}

void Reactor::runBatch(CommandBatch& batch) {
  bool queued = false;
  for (Command& command : batch.commands) {
    auto found = connections_.find(command.connection);
    if (found == connections_.end()) continue;  // it closed while the reply was made
    Connection& connection = *found->second;
    if (command.kind == Command::Kind::kClose) {
      closeWhenSent(connection, command.failed ? CloseReason::kReplyFailed : CloseReason::kClosedHere);
      if (command.failed && !connection.closed) close(connection, CloseReason::kReplyFailed);
      continue;
    }
    if (command.kind == Command::Kind::kPause || command.kind == Command::Kind::kResume) {
      connection.inFlight.setPaused(command.kind == Command::Kind::kPause);
      if (!connection.closed) readOn(connection);
      continue;
    }
    connection.output.setTime(nowMs_);
    if (connection.output.empty()) connection.sentAtMs = nowMs_;
    if (command.kind == Command::Kind::kBytes) {
      // A reply that no other can join goes out from where it is; not before those that were given first, for which somebody waits longer.
      bool alone = !queued && command.endsReply && connection.inFlight.count() == 1 && !connection.tls;
      const uint8_t* bytes = batch.bytes.data() + command.offset;
      size_t sent = alone ? connection.output.sendNow(connection.fd, bytes, command.length) : 0;
      connection.output.addBytes(bytes + sent, command.length - sent);
      queued |= command.length > sent;
    } else if (command.kind == Command::Kind::kMemory) {
      connection.output.addMemory(std::move(command.memory), command.offset, command.length, std::move(command.file),
                                  command.filePosition);
      queued = true;
    } else {
      connection.output.addFile(std::move(command.file), command.offset, command.length);
      queued = true;
    }
    heavy_ |= command.kind == Command::Kind::kFile;  // which may wait for a disk
    if (command.endsReply) connection.output.endReply(command.reports);
    if (!connection.touched) {
      connection.touched = true;
      touched_.push_back(&connection);
    }
  }
  for (Connection* connection : touched_) {
    connection->touched = false;
    if (!connection->closed && !(connection->armed & EPOLLOUT)) send(*connection);
    if (!connection->closed) finishReplies(*connection);
  }
  touched_.clear();
}

void Reactor::open(const Accepted& accepted) {
  auto connection = std::make_unique<Connection>(accepted, options_, inbox_, arena_, limits_);
  Connection& added = *connection;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.ptr = &added;
  if (draining_ || epoll_ctl(epoll_, EPOLL_CTL_ADD, added.fd, &event) != 0) {
    limits_.removeConnection(accepted.ip);
    stats_.connections.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  added.armed = event.events;
  connections_.emplace(added.id, std::move(connection));
  activity_.add(added, nowMs_);
  if (here_) parked_.notify_one();  // it may have to wake earlier
  if (added.tls) shaking_.emplace_back(nowMs_ + options_.handshakeMs, added.id);
  else announce(added);
}

void Reactor::announce(Connection& connection, const std::string& subject, const std::string& failure) {
  connection.announced = true;
  std::string text = connection.ip + " " + std::to_string(connection.port) + "\n" + subject + "\n" + failure;
  inbox_.addControl(EventType::kOpened, connection.id, connection.listener, 0, text);
}

bool Reactor::shake(Connection& connection) {
  switch (connection.tls->shake()) {
    case TlsStream::Handshake::kDone:
      announce(connection, connection.tls->subject());
      return true;
    case TlsStream::Handshake::kWaits:
      arm(connection);
      return false;
    case TlsStream::Handshake::kFailed:
      announce(connection, {}, connection.tls->failure());
      close(connection, connection.tls->failure().empty() ? CloseReason::kPeerClosed : CloseReason::kTlsFailed);
  }
  return false;
}

void Reactor::readHeld() {
  for (size_t left = held_.size(); left > 0; --left) {
    auto found = connections_.find(held_.front());
    held_.pop_front();
    if (found == connections_.end()) continue;
    found->second->held = false;
    if (found->second->reading) receive(*found->second);
  }
}

void Reactor::onSocketEvent(Connection& connection, uint32_t events) {
  if (connection.closed) return;
  // Neither large frames nor long replies are for JavaScript's thread; the sockets stay ready for the other one.
  heavy_ |= (events & EPOLLOUT) || connection.reader.expectsLarge() || connection.tls;
  if (heavy_ && here_) return;
  if (connection.tls && !connection.tls->established()) {
    if (shake(connection)) receive(connection);
    return;
  }
  if (events & EPOLLOUT) {
    send(connection);
    if (connection.closed) return;
    finishReplies(connection);
    if (connection.closed) return;
  }
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) connection.reader.noteEnd();
  bool canRead = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || (connection.tls && connection.tls->waitsForOutput());
  if (connection.reading && canRead) {
    receive(connection);
  } else if (events & (EPOLLHUP | EPOLLERR)) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    close(connection, CloseReason::kReset, error);
  } else if (events & EPOLLRDHUP) {
    onPeerEnded(connection);
  }
}

void Reactor::receive(Connection& connection) {
  FrameReader::Progress progress = connection.reader.receive(here_);
  heavy_ |= progress != FrameReader::Progress::kDrained || connection.reader.expectsLarge();
  if (uint64_t bytes = connection.reader.takeBytes()) {
    stats_.receivedBytes.fetch_add(bytes, std::memory_order_relaxed);
    activity_.touch(connection, nowMs_);
  }
  uint64_t frames = connection.reader.takeFrames();
  turnFrames_ += frames;
  if (frames > 0) moreSoon_ &= connection.reader.moreSoon() && !connection.inFlight.full();
  stats_.frames.fetch_add(frames, std::memory_order_relaxed);
  switch (progress) {
    case FrameReader::Progress::kClosed:
      return close(connection, connection.reader.closeReason(), connection.reader.closeDetail());
    case FrameReader::Progress::kDrained:
    case FrameReader::Progress::kTurnUsed:
      connection.reading = true;
      // Epoll says nothing of it.
      if (connection.tls && connection.tls->holdsInput() && !std::exchange(connection.held, true)) held_.push_back(connection.id);
      break;
    case FrameReader::Progress::kLimited:
      connection.reading = false;
      break;
    case FrameReader::Progress::kNoRoom:
      waitForRoom(connection);
      break;
  }
  arm(connection);
}

void Reactor::send(Connection& connection) {
  OutputQueue::Result result = connection.output.write(connection.fd, connection.tls.get());
  heavy_ |= result != OutputQueue::Result::kDrained;
  if (uint64_t written = connection.output.takeWritten()) {
    stats_.sentBytes.fetch_add(written, std::memory_order_relaxed);
    activity_.touch(connection, nowMs_);
    connection.sentAtMs = nowMs_;
  }
  if (result == OutputQueue::Result::kBroken) {
    close(connection, CloseReason::kReset, connection.output.error());
  } else if (result == OutputQueue::Result::kShortFile) {
    close(connection, CloseReason::kReplyFailed);
  }
}

void Reactor::finishReplies(Connection& connection) {
  uint32_t finished = connection.output.takeFinished();
  for (uint32_t i = 0; i < finished; ++i) connection.inFlight.finish();
  connection.inFlight.setReplyBytes(connection.output.queuedBytes());
  stats_.replies.fetch_add(finished, std::memory_order_relaxed);
  bool done = connection.output.empty() && (connection.closeWhenSent || (draining_ && connection.inFlight.count() == 0));
  if (done) return close(connection, draining_ ? CloseReason::kShutdown : connection.closeReason);
  if (uint32_t reported = connection.output.takeReported()) inbox_.addControl(EventType::kSent, connection.id, reported, 0);
  if (!readOn(connection)) arm(connection);
}

void Reactor::arm(Connection& connection) {
  bool watchesEnd = connection.reading || (!connection.peerEnded && !connection.closeWhenSent && !draining_);
  bool hasOutput = !connection.output.empty() || (connection.tls && connection.tls->waitsForOutput());
  uint32_t wanted = (connection.reading ? EPOLLIN : 0u) | (hasOutput ? EPOLLOUT : 0u) |
                    (watchesEnd ? EPOLLRDHUP : 0u);
  if (wanted == connection.armed) return;
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = &connection;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  if (connection.armed & EPOLLOUT) --blocked_;
  if (wanted & EPOLLOUT) ++blocked_;
  connection.armed = wanted;
}

}  // namespace kafabric::net
