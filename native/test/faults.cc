#include "test/faults.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

namespace kafabric::test {

Faults faults;

void Faults::reset() {
  writeError = 0;
  writableBytes = 0;
  maxWriteBytes = 0;
  interruptions = 0;
  fullWrites = 0;
  fullFlushes = 0;
  flushError = 0;
  flushDelayMs = 0;
  flushes = 0;
  mappingFlushErrors = 0;
  allocatableBytes = 0;
  allocatesPart = false;
  allocateError = 0;
  allocateInterruptions = 0;
  truncateError = 0;
  readError = 0;
  readErrorAt = -1;
  readsAligned = false;
}

namespace {

constexpr size_t kBlockBytes = 4096;

bool countDown(std::atomic<int>& count) {
  int left = count;
  while (left > 0) {
    if (count.compare_exchange_weak(left, left - 1)) return true;
  }
  return false;
}

bool interrupted() { return countDown(faults.interruptions); }

/** The first `limit` bytes of the vectors. */
std::vector<iovec> cut(const iovec* vectors, int count, size_t limit) {
  std::vector<iovec> result;
  for (int i = 0; i < count && limit > 0; ++i) {
    size_t length = std::min(limit, vectors[i].iov_len);
    result.push_back({vectors[i].iov_base, length});
    limit -= length;
  }
  return result;
}

}  // namespace
}  // namespace kafabric::test

// These take the place of the C library's functions in the test program.
extern "C" ssize_t pwritev(int fd, const iovec* vectors, int count, off_t position) {
  using namespace kafabric::test;
  if (interrupted()) {
    errno = EINTR;
    return -1;
  }
  if (countDown(faults.fullWrites)) {
    errno = ENOSPC;
    return -1;
  }
  size_t unit = (fcntl(fd, F_GETFL) & O_DIRECT) != 0 ? kBlockBytes : 1;
  size_t limit = faults.maxWriteBytes ? std::max(faults.maxWriteBytes.load() / unit * unit, unit) : SIZE_MAX;
  int error = faults.writeError;
  if (error != 0) {
    limit = std::min(limit, faults.writableBytes.load() / unit * unit);
    if (limit == 0) {
      errno = error;
      return -1;
    }
  }
  std::vector<iovec> allowed = cut(vectors, count, limit);
  ssize_t written = syscall(SYS_pwritev, fd, allowed.data(), allowed.size(), position, off_t{0});
  if (written > 0 && error != 0) faults.writableBytes -= static_cast<size_t>(written);
  return written;
}

extern "C" int fdatasync(int fd) {
  using namespace kafabric::test;
  if (interrupted()) {
    errno = EINTR;
    return -1;
  }
  if (countDown(faults.fullFlushes)) {
    errno = ENOSPC;
    return -1;
  }
  ++faults.flushes;
  if (faults.flushDelayMs) std::this_thread::sleep_for(std::chrono::milliseconds(faults.flushDelayMs));
  if (faults.flushError) {
    errno = faults.flushError;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

extern "C" int msync(void* memory, size_t length, int flags) {
  using namespace kafabric::test;
  if (countDown(faults.mappingFlushErrors)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_msync, memory, length, flags));
}

extern "C" int fallocate(int fd, int mode, off_t offset, off_t length) {
  using namespace kafabric::test;
  if (countDown(faults.allocateInterruptions)) {
    errno = EINTR;
    return -1;
  }
  if (faults.allocateError) {
    if (faults.allocatableBytes < static_cast<size_t>(length)) {
      auto rest = static_cast<off_t>(faults.allocatableBytes.load());
      if (faults.allocatesPart && rest > 0) syscall(SYS_fallocate, fd, mode, offset, rest);
      errno = faults.allocateError;
      return -1;
    }
    faults.allocatableBytes -= static_cast<size_t>(length);
  }
  return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, length));
}

extern "C" int ftruncate(int fd, off_t length) {
  using namespace kafabric::test;
  if (faults.truncateError) {
    errno = faults.truncateError;
    return -1;
  }
  return static_cast<int>(syscall(SYS_ftruncate, fd, length));
}

extern "C" ssize_t pread(int fd, void* target, size_t length, off_t position) {
  using namespace kafabric::test;
  off_t at = faults.readErrorAt;
  if (faults.readsAligned && position % 512 != 0) {
    errno = EINVAL;
    return -1;
  }
  if (faults.readError && (at < 0 || (position <= at && at - position < static_cast<off_t>(length)))) {
    errno = faults.readError;
    return -1;
  }
  return syscall(SYS_pread64, fd, target, length, position);
}
