// Faults of the disk for tests: the test program replaces the system calls that write and flush.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>

namespace kafabric::test {

struct Faults {
  /**
   * Bytes that pwritev still accepts before it fails with `writeError`; only while that is set. Whole blocks of them where the
   * file bypasses the page cache.
   */
  std::atomic<size_t> writableBytes{0};
  std::atomic<int> writeError{0};
  /** pwritev writes at most so much at a time; 0: no limit. */
  std::atomic<size_t> maxWriteBytes{0};
  /** So many calls are interrupted (EINTR) first, and so many writes and flushes find the disk full. */
  std::atomic<int> interruptions{0};
  std::atomic<int> fullWrites{0};
  std::atomic<int> fullFlushes{0};
  std::atomic<int> flushError{0};
  std::atomic<int> flushDelayMs{0};
  std::atomic<int> flushes{0};
  /** So many msync fail with EIO; the next one knows nothing of it, as the kernel has it. */
  std::atomic<int> mappingFlushErrors{0};
  /** Bytes that fallocate still gives before it fails with `allocateError`; only while that is set. */
  std::atomic<size_t> allocatableBytes{0};
  std::atomic<int> allocateError{0};
  /** So many calls of fallocate are interrupted first. */
  std::atomic<int> allocateInterruptions{0};
  /** What fails takes these bytes nevertheless, as on ext4. */
  std::atomic<bool> allocatesPart{false};
  std::atomic<int> truncateError{0};
  /** What pread fails with: of what holds `readErrorAt`, if that is a position. */
  std::atomic<int> readError{0};
  std::atomic<off_t> readErrorAt{-1};
  /** pread refuses positions within a block, also at the end of the file. */
  std::atomic<bool> readsAligned{false};

  void reset();
};

extern Faults faults;

/** Ends all faults at the end of a test. */
struct FaultScope {
  FaultScope() { faults.reset(); }
  ~FaultScope() { faults.reset(); }
};

}  // namespace kafabric::test
