#include "arena/mapping.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <new>

namespace kafabric {

namespace {

#ifdef MADV_POPULATE_WRITE
constexpr int kPopulateWrite = MADV_POPULATE_WRITE;
#else
constexpr int kPopulateWrite = 23;
#endif
constexpr size_t kPageBytes = 4096;

}  // namespace

uint8_t* mapAligned(size_t bytes, int fd, size_t smallBytes) {
  int access = fd < 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
  void* memory = mmap(nullptr, bytes + kHugePageBytes, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  auto start = reinterpret_cast<uintptr_t>(memory);
  uintptr_t aligned = (start + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  if (aligned > start) munmap(memory, aligned - start);
  if (aligned - start < kHugePageBytes) {
    munmap(reinterpret_cast<void*>(aligned + bytes), kHugePageBytes - (aligned - start));
  }
  auto* base = reinterpret_cast<uint8_t*>(aligned);
  if (fd >= 0 && mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    munmap(base, bytes);
    throw std::bad_alloc();
  }
  if (smallBytes > 0) madvise(base, smallBytes, MADV_NOHUGEPAGE);
  madvise(base + smallBytes, bytes - smallBytes, MADV_HUGEPAGE);
  return base;
}

// Others may write these bytes at the same time: adding nothing to them atomically keeps what they write.
__attribute__((no_sanitize("thread"))) void touchPages(uint8_t* start, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kPageBytes) __atomic_fetch_or(start + at, 0, __ATOMIC_RELAXED);
}

bool populatePages(uint8_t* start, size_t bytes) {
  while (madvise(start, bytes, kPopulateWrite) != 0) {
    if (errno != EINTR && errno != EAGAIN) return false;
  }
  return true;
}

uint64_t pageFaults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_minflt + usage.ru_majflt);
}

}  // namespace kafabric
