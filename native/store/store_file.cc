#include "store/store_file.h"

#include <unistd.h>

#include <cerrno>

#include "store/store.h"

namespace kafabric {

namespace {

// One system call: enough to be efficient, little enough that files take turns.
constexpr size_t kMaxBytesPerWrite = size_t{4} << 20;
constexpr size_t kMaxPartsPerWrite = 1024;

}  // namespace

StoreFile::StoreFile(Store& store, std::shared_ptr<FileHandle> handle, uint64_t size, bool created, bool preallocated)
    : store_(store),
      handle_(std::move(handle)),
      written_(size),
      end_(size),
      queued_(1),
      completed_(1),
      directoryDirty_(created),
      preallocated_(preallocated) {}

void StoreFile::Reports::run() {
  for (auto& [done, status] : items) done(status);
}

uint64_t StoreFile::append(std::vector<AppendPart> parts, Done done) {
  Operation operation{Kind::append, 0, 0, std::move(parts), std::move(done)};
  for (const AppendPart& part : operation.parts) operation.length += part.length;
  store_.counters().queuedBytes += operation.length;
  ++store_.counters().appends;
  return enqueue(std::move(operation));
}

void StoreFile::truncate(uint64_t size, Done done) { enqueue({Kind::truncate, size, 0, {}, std::move(done)}); }

void StoreFile::close(Done done) { enqueue({Kind::close, 0, 0, {}, std::move(done)}); }

uint64_t StoreFile::enqueue(Operation operation) {
  bool start = false;
  uint64_t position = operation.position;
  {
    std::lock_guard lock(mutex_);
    if (operation.kind == Kind::append) {
      position = operation.position = end_;
      end_ += operation.length;
    } else if (operation.kind == Kind::truncate) {
      end_ = operation.position;
    }
    queue_.push_back(std::move(operation));
    ++queued_;
    if (!draining_) start = draining_ = true;
  }
  auto self = shared_from_this();
  if (start && !store_.writers().post([self] { self->drain(); })) drain();
  return position;
}

std::vector<StoreFile::Operation> StoreFile::takeLocked() {
  std::vector<Operation> taken;
  size_t bytes = 0;
  size_t parts = 0;
  while (!queue_.empty() && queue_.front().kind == Kind::append) {
    const Operation& next = queue_.front();
    if (!taken.empty() && (bytes + next.length > kMaxBytesPerWrite || parts + next.parts.size() > kMaxPartsPerWrite))
      return taken;
    bytes += next.length;
    parts += next.parts.size();
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  if (taken.empty() && !queue_.empty()) {
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
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
    bool more = false;
    {
      std::lock_guard lock(mutex_);
      startSyncLocked();
      more = draining_ = !queue_.empty();
    }
    reports.run();
    if (!more) return;
    auto self = shared_from_this();
    if (store_.writers().post([self] { self->drain(); })) return;
  }
}

void StoreFile::writeAppends(std::vector<Operation>& operations, Reports& reports) {
  std::vector<iovec> vectors;
  size_t length = 0;
  for (const Operation& operation : operations) {
    length += operation.length;
    for (const AppendPart& part : operation.parts)
      vectors.push_back({const_cast<uint8_t*>(part.data()), part.length});
  }
  uint64_t position = operations.front().position;
  size_t written = 0;
  int error = writeFully(handle_->fd(), vectors, position, written);
  ++store_.counters().writes;
  store_.counters().bytesWritten += written;
  store_.counters().queuedBytes -= length;

  std::lock_guard lock(mutex_);
  IoStatus status;
  uint64_t good = completed_;
  if (error != 0) status = IoStatus::failure(error, "cannot append to", handle_->path());
  for (Operation& operation : operations) {
    bool whole = operation.position + operation.length <= position + written;
    if (whole) written_.store(operation.position + operation.length, std::memory_order_release);
    if (whole) ++good;
    reports.add(std::move(operation.done), whole ? IoStatus{} : status);
  }
  completed_ += operations.size();
  if (error != 0) poisonLocked(status, good, reports);
}

void StoreFile::runOther(Operation& operation, Reports& reports) {
  IoStatus status;
  uint64_t size = operation.kind == Kind::truncate ? operation.position : written();
  bool cut = operation.kind == Kind::truncate || preallocated_;
  int result = 0;
  while (cut && (result = ::ftruncate(handle_->fd(), static_cast<off_t>(size))) != 0 && errno == EINTR) continue;
  if (result != 0) status = IoStatus::failure(errno, "cannot truncate", handle_->path());

  std::lock_guard lock(mutex_);
  uint64_t good = completed_++;
  if (operation.kind == Kind::close) {
    closed_ = true;
  } else if (status.ok()) {
    written_.store(size, std::memory_order_release);
    poison_ = {};
    preallocated_ = false;
  } else {
    poisonLocked(status, good, reports);
  }
  reports.add(std::move(operation.done), status);
}

void StoreFile::failQueuedLocked(Reports& reports) {
  IoStatus refused = poison_;
  if (closed_) refused = {EBADF, "the file is closed: " + handle_->path()};
  while (!queue_.empty() && (closed_ || queue_.front().kind == Kind::append)) {
    Operation& operation = queue_.front();
    store_.counters().queuedBytes -= operation.length;
    reports.add(std::move(operation.done), refused);
    queue_.pop_front();
    ++completed_;
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
  {
    std::lock_guard lock(mutex_);
    refused = poison_;
    // Nothing written since the last flush, nothing queued: durable already.
    if (refused.ok() && (synced_ < queued_ || directoryDirty_)) {
      waiters_.push_back({queued_, std::move(done)});
      startSyncLocked();
      return;
    }
  }
  done(refused);
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
      if (!status.ok()) poisonLocked(status, 0, reports);
      else if (poison_.ok()) synced_ = covered;
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
  int result = 0;
  while ((result = ::fdatasync(handle_->fd())) != 0 && errno == EINTR) continue;
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
