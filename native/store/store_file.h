// An appending file: ordered writes on the store's threads, neighbours joined into one system call, and group commit.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "codec/buffer.h"
#include "store/file_handle.h"
#include "store/io.h"

namespace kafabric {

class Store;

/** Bytes to append: a copy, or a range of arena memory that is kept until it is written. */
struct AppendPart {
  ByteBuffer copy;
  MemoryRef memory;
  const uint8_t* bytes = nullptr;  // inside `memory`; unused for a copy
  size_t length = 0;

  const uint8_t* data() const { return memory ? bytes : copy.data(); }
};

/**
 * Operations are queued in the order of the calls, which return at once; their ends are reported on threads of the store. All
 * methods may be called on any thread. A failed write poisons the file: it and everything behind it fail, and so does every
 * later append, until a truncate has succeeded. A failed flush does the same, for the kernel may have dropped what it could not write.
 */
class StoreFile : public std::enable_shared_from_this<StoreFile> {
 public:
  using Done = std::function<void(const IoStatus&)>;

  /** Used by Store::open. `created`: the directory must be flushed before the first flush is complete. */
  StoreFile(Store& store, std::shared_ptr<FileHandle> handle, uint64_t size, bool created, bool preallocated);

  /** Queues the parts behind all earlier appends and returns their position in the file. */
  uint64_t append(std::vector<AppendPart> parts, Done done);
  /** Reports once everything queued before is on the device. Callers that wait at the same time share one flush. */
  void sync(Done done);
  /** Cuts (or extends with zeros) the file to `size` bytes, after what was queued before; later appends go there. */
  void truncate(uint64_t size, Done done);
  /** After what was queued before: gives back preallocated space, refuses everything later. Flushes nothing. */
  void close(Done done);

  const std::shared_ptr<FileHandle>& handle() const { return handle_; }
  /** Bytes that have been written, so that they can be read. */
  uint64_t written() const { return written_.load(std::memory_order_acquire); }

 private:
  enum class Kind : uint8_t { append, truncate, close };
  struct Operation {
    Kind kind;
    uint64_t position;  // of the append, or the new size
    size_t length = 0;
    std::vector<AppendPart> parts;
    Done done;
  };
  struct Waiter {
    uint64_t sequence;  // flush when so many operations are complete
    Done done;
  };
  /** Callbacks collected under the lock, called after it is released. */
  struct Reports {
    std::vector<std::pair<Done, IoStatus>> items;
    void add(Done done, const IoStatus& status) { items.emplace_back(std::move(done), status); }
    void run();
  };

  uint64_t enqueue(Operation operation);
  void drain();
  /** Takes appends from the front of the queue, up to a limit of bytes and vectors, or one other operation. */
  std::vector<Operation> takeLocked();
  void writeAppends(std::vector<Operation>& operations, Reports& reports);
  void runOther(Operation& operation, Reports& reports);
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
  std::atomic<uint64_t> written_;

  std::mutex mutex_;
  std::deque<Operation> queue_;
  std::deque<Waiter> waiters_;
  uint64_t end_;           // logical end, including what is queued
  // Sequence numbers: operations queued so far, done so far (well or not), and covered by a flush. What an earlier
  // process may have left in the page cache counts as the first one.
  uint64_t queued_;
  uint64_t completed_;
  uint64_t synced_ = 0;
  bool draining_ = false;
  bool syncing_ = false;
  bool directoryDirty_;
  bool preallocated_;
  bool closed_ = false;
  IoStatus poison_;
};

}  // namespace kafabric
