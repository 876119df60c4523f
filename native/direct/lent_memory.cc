#include "direct/lent_memory.h"

#include <sys/mman.h>

#include <cerrno>

namespace kafabric::direct {

namespace {

constexpr uint64_t kPageBytes = 4096;

}  // namespace

std::shared_ptr<LentRange> LentMemory::map(uint64_t offset, uint64_t bytes, bool writable) {
  auto total = static_cast<uint64_t>(memory_.bytes);
  if (bytes == 0 || bytes > total || offset > total - bytes) {
    errno = ERANGE;
    return nullptr;
  }
  uint64_t start = offset % kPageBytes;
  uint64_t size = (start + bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  auto at = static_cast<off_t>(static_cast<uint64_t>(memory_.fileOffset) + offset - start);
  int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* pages = mmap(nullptr, size, access, MAP_SHARED | MAP_POPULATE, file_.fd, at);
  if (pages == MAP_FAILED) return nullptr;
  return std::make_shared<LentRange>(shared_from_this(), pages, size, start);
}

LentRange::~LentRange() { munmap(pages_, pageBytes_); }

}  // namespace kafabric::direct
