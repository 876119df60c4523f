// An appending file: ordered writes on the store's threads, neighbours joined into one system call, and group commit.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "codec/buffer.h"
#include "store/direct_writer.h"
#include "store/file_handle.h"
#include "store/io.h"
#include "store/journal.h"
#include "store/persistent_memory.h"
#include "store/range_cache.h"

namespace kafabric {

class Store;

/** Bytes to append: copied before `append` returns, or, when `memory` is set, a range of it that is kept until it is written. */
struct AppendPart {
  const uint8_t* bytes = nullptr;
  size_t length = 0;
  MemoryRef memory;
};

struct AppendOptions {
  /** Leave a gap before the bytes, at most two blocks, such that they can be written from where they are. */
  bool align = false;
  /** The caller is content when the bytes survive the death of the process: see AppendResult. */
  bool fromMemory = false;
};

struct AppendResult {
  uint64_t position;
  /** The bytes survive the death of the process and can be read, before they are written: `done` will not be called. */
  bool acknowledged;
};

/**
 * Operations are queued in the order of the calls, which return at once; their ends are reported on threads of the store. All
 * methods may be called on any thread. A failed write poisons the file: it and everything behind it fail, and so does every
 * later append, until a truncate has succeeded. A failed flush does the same, for the kernel may have dropped what it could not write;
 * then the truncate must have been asked for afterwards.
 *
 * With direct I/O what is appended stays in the cache of the arena; the file is allocated ahead of what is written, so that it ends in
 * zeros until it is truncated or closed. Appends that are acknowledged from memory are recorded in the journal until they are
 * written; space for them is allocated before. When the device refuses them nevertheless, they stay in memory and in the
 * journal; truncate and close try again.
 */
class StoreFile : public std::enable_shared_from_this<StoreFile> {
 public:
  using Done = std::function<void(const IoStatus&)>;

  struct Space {
    uint64_t allocated;  // the file has so much
    uint64_t expected;   // and is not to need more than this; 0: nobody knows
  };

  /**
   * Used by Store::open. `created`: the directory must be flushed before the first flush is complete. `persistence`: of what is written through
   * a mapping; the file must be open for that.
   */
  StoreFile(Store& store, std::shared_ptr<FileHandle> handle, uint64_t size, Space space, bool created, Persistence persistence);
  ~StoreFile();
  StoreFile(const StoreFile&) = delete;
  StoreFile& operator=(const StoreFile&) = delete;

  /** Queues the parts behind all earlier appends. Throws std::bad_alloc, and appends nothing, when there is no memory to copy them. */
  AppendResult append(const std::vector<AppendPart>& parts, const AppendOptions& options, Done done);
  /** Reports once everything queued before is on the device. Callers that wait at the same time share one flush. */
  void sync(Done done);
  /** Cuts (or extends with zeros) the file to `size` bytes, after what was queued before; later appends go there. */
  void truncate(uint64_t size, Done done);
  /** Gives back space allocated ahead, after what was queued before. */
  void trim(Done done);
  /** After what was queued before: gives back space allocated ahead, refuses everything later. Flushes nothing. */
  void close(Done done);
  /** Begins to write what waits for more to come; for the store's timer. */
  void writeWaiting();

  const std::shared_ptr<FileHandle>& handle() const { return handle_; }
  /** Bytes that are in the file, so that they can be read from there. What was acknowledged from memory may lie behind. */
  uint64_t written() const { return cached_.written.load(std::memory_order_acquire); }
  RangeCache::File& cached() { return cached_; }
  /** Where the last read ended, and how far was read ahead; for FileReader. */
  struct Progress {
    std::atomic<uint64_t> end{0};
    std::atomic<uint64_t> aheadTo{0};
  };
  Progress& readProgress() { return readProgress_; }

 private:
  enum class Kind : uint8_t { append, trim, truncate, close };
  struct QueuedPart {
    const uint8_t* bytes;
    size_t length;
    MemoryRef memory;
    ByteBuffer copy;  // used when the arena had no room
    uint32_t journalled = Journal::kNone;
  };
  struct Operation {
    Kind kind;
    uint64_t position;  // of the append, or the new size
    size_t length = 0;
    std::vector<QueuedPart> parts;
    Done done;          // none: acknowledged already
    bool fromMemory = false;     // of an append: it may be
    uint64_t flushFailures = 0;  // of a truncate: those before it was asked for
    uint64_t end() const { return position + length; }
    bool acknowledged() const { return kind == Kind::append && !done; }
  };
  struct Waiter {
    uint64_t sequence;  // flush when so many operations are complete
    Done done;
  };
  /** Callbacks collected under the lock, called after it is released. */
  struct Reports {
    std::vector<std::pair<Done, IoStatus>> items;
    void add(Done done, const IoStatus& status) {
      if (done) items.emplace_back(std::move(done), status);
    }
    void run();
  };

  void setWritten(uint64_t end) {
    cached_.written.store(end, std::memory_order_release);
    handle_->setWritten(end);
  }
  void holdPartsLocked(Operation& operation, const std::vector<AppendPart>& parts, bool align);
  QueuedPart holdLocked(const AppendPart& part, uint64_t position);
  /** Whether it was recorded. Nothing before it may yet fail. */
  bool acknowledgeLocked(Operation& operation);
  /** What waited only because something before it could have failed is acknowledged, up to the first that has to wait still. */
  void acknowledgeQueuedLocked(Reports& reports);
  /** Queues an operation; true when the caller has to start draining. */
  bool enqueueLocked(Operation operation, bool waits);
  void enqueue(Operation operation);
  bool waitLocked();
  void startDraining();
  void drain();
  /** Takes appends from the front of the queue, up to a limit of bytes and parts, or one other operation. */
  std::vector<Operation> takeLocked();
  int write(const std::vector<Operation>& operations, uint64_t& written);
  int writeOnce(const std::vector<Operation>& operations, uint64_t& written);
  int writeMapped(const std::vector<Operation>& operations, uint64_t& written);
  void writeAppends(std::vector<Operation>& operations, Reports& reports);
  void runOther(Operation& operation, Reports& reports);
  void dropStranded(uint64_t size);
  IoStatus cut(uint64_t size);
  /** Writes again what was acknowledged and could not be written. */
  IoStatus writeStranded();
  uint64_t queuedEnd(uint64_t written);
  void allocateAhead(uint64_t written, uint64_t largest);
  void forgetJournalled(Operation& operation);
  /** Fails what is queued up to the next truncate or close, and the flushes that wait for it. */
  void failQueuedLocked(Reports& reports);
  /** Flushes that wait for no more than the first `good` operations are still made. */
  void poisonLocked(const IoStatus& status, uint64_t good, Reports& reports);
  bool someoneWaitsLocked() const { return !waiters_.empty() && waiters_.front().sequence <= completed_; }
  void startSyncLocked();
  void runSync();
  IoStatus flush();

  Store& store_;
  const std::shared_ptr<FileHandle> handle_;
  RangeCache::File cached_;
  Progress readProgress_;
  BlockTail tail_;                   // the draining thread's
  const std::unique_ptr<MappedFile> mapped_;  // the draining thread's; null: written by system calls
  std::atomic<bool> cut_{false};     // of a mapped file, since the last flush: only that needs one
  std::atomic<uint64_t> allocated_;  // the file has space to here; what is acknowledged from memory ends below
  const uint64_t expected_;          // the bytes that it will have at most, if 0 < it and nobody was wrong
  bool allocates_ = true;            // the draining thread's: false where the file system cannot

  std::mutex mutex_;
  std::deque<Operation> queue_;
  std::deque<Waiter> waiters_;
  std::deque<Operation> stranded_;  // acknowledged and refused by the device
  uint64_t end_;                    // logical end, including what is queued
  uint64_t queuedBytes_ = 0;
  // Sequence numbers: operations queued so far, done so far (well or not), and covered by a flush. What an earlier
  // process may have left in the page cache counts as the first one.
  uint64_t queued_;
  uint64_t completed_;
  uint64_t synced_ = 0;
  uint64_t unacknowledged_ = 0;  // operations queued or running that somebody waits for
  uint32_t journalFile_ = Journal::kNone;
  bool draining_ = false;
  bool waiting_ = false;  // the store's timer will start the draining
  bool syncing_ = false;
  bool directoryDirty_;
  bool closed_ = false;
  IoStatus poison_;
  uint64_t flushFailures_ = 0;
};

}  // namespace kafabric
