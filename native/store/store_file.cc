#include "store/store_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "store/store.h"

namespace kafabric {

namespace {

// One turn: enough to be efficient, little enough that files take turns.
constexpr size_t kMaxBytesPerTurn = size_t{8} << 20;
constexpr size_t kMaxPartsPerTurn = 1024;
/** What is acknowledged waits for more to be written with it, up to so many bytes. */
constexpr uint64_t kWriteAtOnceBytes = 4 << 20;
/** Less is copied faster than it is worth a gap in the file. */
constexpr size_t kMinAlignedBytes = 16 << 10;

}  // namespace

StoreFile::StoreFile(Store& store, std::shared_ptr<FileHandle> handle, uint64_t size, Space space, bool created,
                     Persistence persistence)
    : store_(store),
      handle_(std::move(handle)),
      mapped_(persistence == Persistence::none ? nullptr : std::make_unique<MappedFile>(handle_->fd(), persistence)),
      allocated_(std::max(size, space.allocated)),
      expected_(roundUp(space.expected, kMaxBlockBytes)),
      end_(size),
      queued_(1),
      completed_(1),
      directoryDirty_(created) {
  setWritten(size);
}

StoreFile::~StoreFile() {
  store_.cache().drop(cached_);
  // What the device refused stays recorded, for the next process to write: nothing else may use its memory.
  for (Operation& operation : stranded_) {
    for (QueuedPart& part : operation.parts) part.memory.abandon();
  }
  if (journalFile_ == Journal::kNone) return;
  if (stranded_.empty()) store_.journal()->removeFile(journalFile_);
  else store_.journal()->abandonFile(journalFile_);
}

void StoreFile::Reports::run() {
  for (auto& [done, status] : items) done(status);
}

AppendResult StoreFile::append(const std::vector<AppendPart>& parts, const AppendOptions& options, Done done) {
  Operation operation{Kind::append, 0};
  for (const AppendPart& part : parts) operation.length += part.length;
  store_.queued(static_cast<int64_t>(operation.length));
  ++store_.counters().appends;
  AppendResult result{};
  bool start = false;
  {
    std::lock_guard lock(mutex_);
    size_t block = handle_->blockBytes();
    bool aligned = options.align && block > 0 && parts.size() == 1 && operation.length >= kMinAlignedBytes;
    operation.position = aligned ? roundUp(end_, block) + reinterpret_cast<uintptr_t>(parts[0].bytes) % block : end_;
    holdPartsLocked(operation, parts, options.align);
    end_ = operation.end();
    operation.fromMemory = options.fromMemory;
    result = {operation.position, options.fromMemory && unacknowledged_ == 0 && acknowledgeLocked(operation)};
    if (!result.acknowledged) operation.done = std::move(done);
    start = enqueueLocked(std::move(operation), result.acknowledged);
  }
  if (start) startDraining();
  return result;
}

void StoreFile::truncate(uint64_t size, Done done) {
  enqueue({Kind::truncate, size, 0, {}, std::move(done)});
}

void StoreFile::trim(Done done) { enqueue({Kind::trim, 0, 0, {}, std::move(done)}); }

void StoreFile::close(Done done) { enqueue({Kind::close, 0, 0, {}, std::move(done)}); }

void StoreFile::enqueue(Operation operation) {
  bool start = false;
  {
    std::lock_guard lock(mutex_);
    if (operation.kind == Kind::truncate) {
      end_ = operation.position;
      operation.flushFailures = flushFailures_;
      store_.cache().cut(cached_, end_);
    }
    start = enqueueLocked(std::move(operation), false);
  }
  if (start) startDraining();
}

/** Nothing is left of those that were held when there is no memory for all of them: std::bad_alloc. */
void StoreFile::holdPartsLocked(Operation& operation, const std::vector<AppendPart>& parts, bool align) {
  uint64_t position = operation.position;
  try {
    for (const AppendPart& part : parts) {
      // Where gaps are allowed any address suits.
      if (part.memory && handle_->blockBytes() > 0 && !align) part.memory.appendedAt(part.bytes, position);
      operation.parts.push_back(holdLocked(part, position));
      position += part.length;
    }
  } catch (const std::bad_alloc&) {
    store_.cache().cut(cached_, end_);
    store_.queued(-static_cast<int64_t>(operation.length));
    throw;
  }
}

/** Bytes that outlive the call; in the cache, unless they are sure to be refused. */
StoreFile::QueuedPart StoreFile::holdLocked(const AppendPart& part, uint64_t position) {
  bool cached = handle_->blockBytes() > 0 && !closed_ && poison_.ok();
  QueuedPart held{part.bytes, part.length, part.memory};
  if (part.memory) {
    if (cached) store_.cache().addAppended(cached_, position, {part.memory, part.bytes, part.length});
    return held;
  }
  MemoryPiece copied = cached ? store_.cache().addCopy(cached_, position, part.bytes, part.length) : MemoryPiece{};
  if (copied) {
    held.memory = std::move(copied.memory);
    held.bytes = copied.bytes;
  } else {
    held.copy.append(part.bytes, part.length);
    held.bytes = held.copy.data();
  }
  return held;
}

/** Records an append whose space is allocated. */
bool StoreFile::acknowledgeLocked(Operation& operation) {
  Journal* journal = store_.journal();
  // Where the page cache is used, readers would not find it.
  bool possible = journal && handle_->blockBytes() > 0 && poison_.ok() && !closed_ && stranded_.empty() &&
                  operation.end() <= allocated_ && store_.mayAcknowledge();
  if (!possible) return false;
  if (journalFile_ == Journal::kNone) {
    journalFile_ = journal->addFile(handle_->path(), {handle_->device(), handle_->inode(), birthOf(handle_->fd())});
  }
  if (journalFile_ == Journal::kNone) return false;
  uint64_t position = operation.position;
  for (QueuedPart& part : operation.parts) {
    if (part.memory) part.journalled = journal->add(journalFile_, position, part.bytes, part.length);
    if (part.journalled == Journal::kNone && part.length > 0) {
      forgetJournalled(operation);
      return false;
    }
    position += part.length;
  }
  ++store_.counters().acknowledged;
  return true;
}

void StoreFile::acknowledgeQueuedLocked(Reports& reports) {
  for (Operation& operation : queue_) {
    if (operation.acknowledged()) continue;
    if (!operation.fromMemory || !acknowledgeLocked(operation)) return;
    --unacknowledged_;
    reports.add(std::exchange(operation.done, nullptr), {});
  }
}

void StoreFile::forgetJournalled(Operation& operation) {
  for (QueuedPart& part : operation.parts) {
    if (part.journalled != Journal::kNone) store_.journal()->remove(part.journalled);
    part.journalled = Journal::kNone;
  }
}

bool StoreFile::enqueueLocked(Operation operation, bool waits) {
  if (!operation.acknowledged()) ++unacknowledged_;
  queuedBytes_ += operation.length;
  queue_.push_back(std::move(operation));
  ++queued_;
  if (draining_) return false;
  if (waits && queuedBytes_ < kWriteAtOnceBytes && waitLocked()) return false;
  return draining_ = true;
}

/** Leaves the queue to the store's timer; false when that has stopped. */
bool StoreFile::waitLocked() {
  if (!waiting_) waiting_ = store_.writeBehind().add(shared_from_this());
  return waiting_;
}

void StoreFile::writeWaiting() {
  {
    std::lock_guard lock(mutex_);
    waiting_ = false;
    if (draining_ || queue_.empty()) return;
    draining_ = true;
  }
  startDraining();
}

void StoreFile::startDraining() {
  auto self = shared_from_this();
  if (!store_.writers().post([self] { self->drain(); })) drain();
}

std::vector<StoreFile::Operation> StoreFile::takeLocked() {
  std::vector<Operation> taken;
  size_t bytes = 0;
  size_t parts = 0;
  while (!queue_.empty() && queue_.front().kind == Kind::append) {
    const Operation& next = queue_.front();
    if (!taken.empty() && (bytes + next.length > kMaxBytesPerTurn || parts + next.parts.size() > kMaxPartsPerTurn)) break;
    bytes += next.length;
    parts += next.parts.size();
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  if (taken.empty() && !queue_.empty()) {
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queuedBytes_ -= bytes;
  return taken;
}

// One turn; runs on one thread at a time for each file.
void StoreFile::drain() {
  for (;;) {
    Reports reports;
    std::vector<Operation> operations;
    {
      std::lock_guard lock(mutex_);
      if (!poison_.ok() || closed_) failQueuedLocked(reports);
      operations = takeLocked();
    }
    if (!operations.empty()) {
      if (operations.front().kind == Kind::append) writeAppends(operations, reports);
      else runOther(operations.front(), reports);
    }
    operations.clear();  // memory goes back before anyone hears of it
    store_.cache().announceWritten();
    bool more = false;
    {
      std::lock_guard lock(mutex_);
      startSyncLocked();
      bool urgent = unacknowledged_ > 0 || !waiters_.empty() || queuedBytes_ >= kWriteAtOnceBytes;
      more = draining_ = !queue_.empty() && (urgent || !waitLocked());
    }
    reports.run();
    if (!more) return;
    auto self = shared_from_this();
    if (store_.writers().post([self] { self->drain(); })) return;
  }
}

void StoreFile::failQueuedLocked(Reports& reports) {
  IoStatus refused = poison_;
  if (closed_) refused = {EBADF, "the file is closed: " + handle_->path()};
  bool cut = false;
  auto fails = [this](Kind kind) { return closed_ || kind == Kind::append || kind == Kind::trim; };
  while (!queue_.empty() && fails(queue_.front().kind)) {
    Operation operation = std::move(queue_.front());
    queue_.pop_front();
    ++completed_;
    store_.queued(-static_cast<int64_t>(operation.length));
    queuedBytes_ -= operation.length;
    if (operation.acknowledged()) {
      stranded_.push_back(std::move(operation));
      continue;
    }
    if (operation.kind == Kind::append && !std::exchange(cut, true)) store_.cache().cut(cached_, operation.position);
    --unacknowledged_;
    reports.add(std::move(operation.done), refused);
  }
}

void StoreFile::poisonLocked(const IoStatus& status, uint64_t good, Reports& reports) {
  if (poison_.ok()) poison_ = status;
  failQueuedLocked(reports);
  while (!waiters_.empty() && waiters_.back().sequence > good) {
    reports.add(std::move(waiters_.back().done), poison_);
    waiters_.pop_back();
  }
}

void StoreFile::sync(Done done) {
  IoStatus refused;
  bool start = false;
  {
    std::lock_guard lock(mutex_);
    refused = poison_;
    // Nothing written since the last flush, nothing queued: durable already.
    bool needed = refused.ok() && (synced_ < queued_ || directoryDirty_);
    if (needed) {
      waiters_.push_back({queued_, std::exchange(done, nullptr)});
      startSyncLocked();
      start = !draining_ && !queue_.empty();
      draining_ |= start;
    }
  }
  if (start) startDraining();
  if (done) done(refused);
}

/** Starts a flush when someone waits for operations that are all complete. */
void StoreFile::startSyncLocked() {
  if (syncing_ || !someoneWaitsLocked()) return;
  syncing_ = true;
  auto self = shared_from_this();
  if (store_.syncers().post([self] { self->runSync(); })) return;
  syncing_ = false;
  IoStatus stopped{ESHUTDOWN, "the store is shut down: " + handle_->path()};
  for (Waiter& waiter : waiters_) waiter.done(stopped);
  waiters_.clear();
}

// Runs on one thread at a time for each file; one flush a turn.
void StoreFile::runSync() {
  for (;;) {
    uint64_t covered = 0;
    {
      std::lock_guard lock(mutex_);
      covered = completed_;
    }
    IoStatus status = flush();
    Reports reports;
    bool more = false;
    {
      std::lock_guard lock(mutex_);
      if (!status.ok()) {
        ++flushFailures_;
        poisonLocked(status, 0, reports);
      } else if (poison_.ok()) {
        synced_ = covered;
      }
      while (!waiters_.empty() && waiters_.front().sequence <= covered) {
        reports.add(std::move(waiters_.front().done), status);
        waiters_.pop_front();
      }
      more = syncing_ = someoneWaitsLocked();
    }
    reports.run();
    if (!more) return;
    auto self = shared_from_this();
    if (store_.syncers().post([self] { self->runSync(); })) return;
  }
}

IoStatus StoreFile::flush() {
  ++store_.counters().syncs;
  ClientIo::Scope scope(store_.clientIo(), handle_->device());
  int result = 0;
  bool needed = !mapped_ || cut_.exchange(false);
  while (needed && (result = ::fdatasync(handle_->fd())) != 0 && errno == EINTR) continue;
  if (result != 0) return IoStatus::failure(errno, "cannot flush", handle_->path());
  bool directory = false;
  {
    std::lock_guard lock(mutex_);
    directory = directoryDirty_;
  }
  if (!directory) return {};
  IoStatus status = syncDirectory(parentOf(handle_->path()));
  std::lock_guard lock(mutex_);
  if (status.ok()) directoryDirty_ = false;
  return status;
}

}  // namespace kafabric
