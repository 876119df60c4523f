#include "direct/lent_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace kafabric::direct {

namespace {

constexpr size_t kPageBytes = 4096;
#ifdef MADV_POPULATE_READ
constexpr int kPopulateRead = MADV_POPULATE_READ;
#else
constexpr int kPopulateRead = 22;
#endif

}  // namespace

LentMemory::~LentMemory() {
  for (Window* window : {&readable_, &writable_})
    if (window->base) munmap(window->base, pages() * kPageBytes);
}

size_t LentMemory::pages() const { return (static_cast<size_t>(memory_.bytes) + kPageBytes - 1) / kPageBytes; }

std::shared_ptr<LentRange> LentMemory::map(uint64_t offset, uint64_t bytes, bool writable) {
  auto total = static_cast<uint64_t>(memory_.bytes);
  if (bytes == 0 || bytes > total || offset > total - bytes) {
    errno = ERANGE;
    return nullptr;
  }
  Window& window = writable ? writable_ : readable_;
  if (!open(window, writable ? PROT_NONE : PROT_READ)) return nullptr;
  size_t first = offset / kPageBytes;
  size_t end = (offset + bytes + kPageBytes - 1) / kPageBytes;
  if (writable && !allowWrites(first, end)) return nullptr;
  uint8_t* at = window.base + first * kPageBytes;
  auto range = std::make_shared<LentRange>(shared_from_this(), at, first, end, offset % kPageBytes, writable);
  makePresent(window, first, end);
  return range;
}

bool LentMemory::open(Window& window, int access) {
  if (window.base) return true;
  // Before there is a window, for which they have to be there.
  window.present.resize(pages());
  if (access == PROT_NONE) writers_.resize(pages());
  void* base = mmap(nullptr, pages() * kPageBytes, access, MAP_SHARED | MAP_NORESERVE, file_.fd, static_cast<off_t>(memory_.fileOffset));
  if (base == MAP_FAILED) return false;
  window.base = static_cast<uint8_t*>(base);
  return true;
}

void LentMemory::makePresent(Window& window, size_t first, size_t end) {
  auto from = window.present.begin() + static_cast<ptrdiff_t>(first);
  auto to = window.present.begin() + static_cast<ptrdiff_t>(end);
  if (std::find(from, to, false) == to) return;
  // Kernels before 5.14 do it page by page, when they are touched.
  madvise(window.base + first * kPageBytes, (end - first) * kPageBytes, kPopulateRead);
  std::fill(from, to, true);
}

bool LentMemory::allowWrites(size_t first, size_t end) {
  if (mprotect(writable_.base + first * kPageBytes, (end - first) * kPageBytes, PROT_READ | PROT_WRITE) != 0) return false;
  for (size_t page = first; page < end; ++page) ++writers_[page];
  return true;
}

void LentMemory::endWrites(size_t first, size_t end) {
  for (size_t page = first; page < end; ++page) --writers_[page];
  // The server may have lent the same pages again before this range is known to be of no more use.
  for (size_t page = first; page < end;) {
    bool isFree = writers_[page] == 0;
    size_t from = page;
    while (page < end && (writers_[page] == 0) == isFree) ++page;
    if (isFree) mprotect(writable_.base + from * kPageBytes, (page - from) * kPageBytes, PROT_NONE);
  }
}

LentRange::~LentRange() {
  if (writable_) memory_->endWrites(first_, end_);
}

size_t LentRange::pageBytes() const { return (end_ - first_) * kPageBytes; }

}  // namespace kafabric::direct
