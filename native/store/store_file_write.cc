// What a file's draining thread does: write, cut, allocate ahead.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "store/store.h"
#include "store/store_file.h"

namespace kafabric {

namespace {

/** Space is allocated ahead in steps as large as the file is, within these bounds: a quiet file costs little. */
constexpr uint64_t kMinStepBytes = 16 << 10;
constexpr uint64_t kMaxStepBytes = 64 << 20;

void giveBackBehind(int fd, uint64_t size) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || static_cast<uint64_t>(info.st_size) <= size) return;
  while (::ftruncate(fd, static_cast<off_t>(size)) != 0 && errno == EINTR) continue;
}

}  // namespace

/** As `writeOnce`; for a full disk, what is kept for new files is given back first. */
int StoreFile::write(const std::vector<Operation>& operations, uint64_t& written) {
  return store_.recycled().withSpace([&] { return writeOnce(operations, written); });
}

/** 0 or an errno value; `written` is where what is in the file ends. */
int StoreFile::writeOnce(const std::vector<Operation>& operations, uint64_t& written) {
  if (mapped_) return writeMapped(operations, written);
  uint64_t start = operations.front().position;
  size_t block = handle_->blockBytes();
  ClientIo::Scope scope(store_.clientIo(), handle_->device());
  int error = 0;
  if (block > 0) {
    DirectWriter writer(handle_->fd(), block, start, this->written(), tail_);
    for (const Operation& operation : operations) {
      uint64_t position = operation.position;
      for (const QueuedPart& part : operation.parts) {
        if (error == 0) error = writer.add(position, part.bytes, part.length);
        position += part.length;
      }
    }
    if (error == 0) error = writer.finish();
    written = writer.written();
    store_.counters().bytesGathered += writer.gathered();
  } else {
    std::vector<iovec> vectors;
    for (const Operation& operation : operations) {
      for (const QueuedPart& part : operation.parts) vectors.push_back({const_cast<uint8_t*>(part.bytes), part.length});
    }
    size_t count = 0;
    error = writeFully(handle_->fd(), vectors, start, count);
    written = start + count;
  }
  // Not only what was allocated ahead is to be given back: the rest of the last block, and of a write that failed.
  if (written > start) allocated_ = std::max(allocated_.load(), block > 0 ? roundUp(written, block) : written);
  ++store_.counters().writes;
  store_.counters().bytesWritten += written - start;
  return error;
}

/** As `writeOnce`, to persistent memory: it is durable then. */
int StoreFile::writeMapped(const std::vector<Operation>& operations, uint64_t& written) {
  uint64_t start = operations.front().position;
  int error = 0;
  written = start;
  for (const Operation& operation : operations) {
    for (const QueuedPart& part : operation.parts) {
      size_t count = 0;
      if (error == 0) error = mapped_->write(written, part.bytes, part.length, count);
      written += count;
    }
  }
  int failure = mapped_->persist();
  if (failure != 0) {
    written = start;
    if (error == 0) error = failure;
  }
  allocated_ = std::max(allocated_.load(), mapped_->allocated());
  ++store_.counters().writes;
  store_.counters().bytesWritten += written - start;
  return error;
}

void StoreFile::writeAppends(std::vector<Operation>& operations, Reports& reports) {
  uint64_t written = 0;
  int error = write(operations, written);
  uint64_t largest = 0;
  for (const Operation& operation : operations) largest = std::max<uint64_t>(largest, operation.length);
  if (error == 0) allocateAhead(written, largest);
  IoStatus status;
  if (error != 0) status = IoStatus::failure(error, "cannot append to", handle_->path());

  std::lock_guard lock(mutex_);
  uint64_t good = completed_;
  bool cut = false;
  for (Operation& operation : operations) {
    store_.queued(-static_cast<int64_t>(operation.length));
    bool whole = operation.end() <= written;
    if (whole) {
      setWritten(operation.end());
      ++good;
      forgetJournalled(operation);
    } else if (operation.acknowledged()) {
      stranded_.push_back(std::move(operation));
      continue;
    } else if (!std::exchange(cut, true)) {
      store_.cache().cut(cached_, operation.position);
    }
    if (!operation.acknowledged()) --unacknowledged_;
    reports.add(std::move(operation.done), whole ? IoStatus{} : status);
  }
  completed_ += operations.size();
  if (error != 0) poisonLocked(status, good, reports);
  else acknowledgeQueuedLocked(reports);
}

void StoreFile::runOther(Operation& operation, Reports& reports) {
  bool truncates = operation.kind == Kind::truncate;
  if (truncates) dropStranded(operation.position);
  IoStatus status = writeStranded();
  uint64_t size = truncates ? operation.position : written();
  if (status.ok() && (truncates || allocated_ > size)) status = cut(size);

  std::lock_guard lock(mutex_);
  uint64_t good = completed_++;
  --unacknowledged_;
  if (operation.kind == Kind::close) {
    closed_ = true;
    handle_->setClosing();
    if (!stranded_.empty()) store_.journal()->abandonFile(journalFile_);
  } else if (!status.ok()) {
    poisonLocked(status, good, reports);
  } else if (truncates) {
    setWritten(size);
    store_.cache().cutRead(cached_, size);
    // Who asked for this did not know yet that a flush fails.
    if (flushFailures_ == operation.flushFailures) poison_ = {};
  }
  reports.add(std::move(operation.done), status);
}

/** What is cut off need not be written any more. */
void StoreFile::dropStranded(uint64_t size) {
  std::lock_guard lock(mutex_);
  std::deque<Operation> kept;
  for (Operation& stranded : stranded_) {
    if (stranded.position >= size) forgetJournalled(stranded);
    else kept.push_back(std::move(stranded));
  }
  stranded_ = std::move(kept);
}

IoStatus StoreFile::cut(uint64_t size) {
  tail_.forget();
  if (mapped_) {
    mapped_->unmap();
    cut_ = true;
  }
  int result = 0;
  while ((result = ::ftruncate(handle_->fd(), static_cast<off_t>(size))) != 0 && errno == EINTR) continue;
  if (result != 0) return IoStatus::failure(errno, "cannot truncate", handle_->path());
  allocated_ = size;
  return {};
}

IoStatus StoreFile::writeStranded() {
  std::deque<Operation> stranded;
  {
    std::lock_guard lock(mutex_);
    stranded.swap(stranded_);
  }
  IoStatus status;
  while (!stranded.empty()) {
    std::vector<Operation> one;
    one.push_back(std::move(stranded.front()));
    stranded.pop_front();
    uint64_t end = 0;
    int error = write(one, end);
    std::lock_guard lock(mutex_);
    if (error == 0) {
      setWritten(std::max(written(), one[0].end()));
      forgetJournalled(one[0]);
      continue;
    }
    status = IoStatus::failure(error, "cannot append to", handle_->path());
    stranded_.push_back(std::move(one[0]));
    for (Operation& next : stranded) stranded_.push_back(std::move(next));
    break;
  }
  return status;
}

/** Where the appends end that are next; what is cut or left out behind them needs no space. */
uint64_t StoreFile::queuedEnd(uint64_t written) {
  std::lock_guard lock(mutex_);
  for (const Operation& operation : queue_) {
    if (operation.kind != Kind::append) break;
    written = operation.end();
  }
  return written;
}

/**
 * Beyond what is queued, so that appends can be acknowledged from memory, and need not make the file larger one by one: for one more, at least, that is
 * as large as the `largest` of those that were just written.
 */
void StoreFile::allocateAhead(uint64_t written, uint64_t largest) {
  size_t block = handle_->blockBytes();
  if (block == 0 || !allocates_) return;
  uint64_t end = queuedEnd(written);
  uint64_t step = std::max(std::clamp(end, kMinStepBytes, kMaxStepBytes), largest);
  uint64_t allocated = allocated_;
  if (allocated >= end + std::max(step / 2, largest)) return;
  uint64_t from = std::max(allocated, roundDown(written, block));
  uint64_t to = roundUp(end + step, kMaxBlockBytes);
  // What is not needed would be given back, which costs memory and journals of file systems as much as taking it.
  if (end <= expected_) to = std::min(to, expected_);
  if (allocated >= to) return;
  int error = store_.recycled().withSpace([&] { return allocateFully(handle_->fd(), 0, from, to - from); });
  if (error == 0) allocated_ = to;
  else if (error == EOPNOTSUPP || error == ENOSYS) allocates_ = false;
  // A full disk shows itself to the appends that find no room. It may have given a part, of which nobody knows, and others have none.
  else giveBackBehind(handle_->fd(), std::max(allocated, written));
}

}  // namespace kafabric
