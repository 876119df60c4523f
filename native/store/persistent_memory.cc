#include "store/persistent_memory.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "store/aligned_memory.h"
#include "store/descriptor.h"
#include "store/io.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace kafabric {

namespace {

constexpr uint64_t kPageBytes = 4096;
/** Windows are as large as the file is, within these bounds: a quiet file costs little. */
constexpr uint64_t kMinWindowBytes = 64 << 10;
constexpr uint64_t kMaxWindowBytes = 64 << 20;

/** A shared mapping to write to; MAP_FAILED with errno. `synchronous`: what is mapped stays where it is after a loss of power (DAX). */
void* mapShared(int fd, uint64_t start, uint64_t length, bool synchronous) {
  int flags = synchronous ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
  return ::mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(start));
}

int flushFile(int fd) {
  int result = 0;
  while ((result = ::fdatasync(fd)) != 0 && errno == EINTR) continue;
  return result == 0 ? 0 : errno;
}

/** As libpmem understands it. */
bool isForced() {
  const char* value = ::getenv("PMEM_IS_PMEM_FORCE");
  return value && std::strcmp(value, "1") == 0;
}

PersistentDirectories::Found probe(const std::string& directory) {
  auto ordinary = [](const std::string& why) { return PersistentDirectories::Found{Persistence::none, why}; };
  Descriptor file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.fd < 0) return ordinary("no file without a name can be made there");
  if (allocateFully(file.fd, 0, 0, kPageBytes) != 0) return ordinary("its file system cannot allocate space");
  const PersistentMemoryLibrary* library = PersistentMemoryLibrary::get();
  void* memory = mapShared(file.fd, 0, kPageBytes, true);
  bool synchronous = memory != MAP_FAILED;
  if (!synchronous) memory = mapShared(file.fd, 0, kPageBytes, false);
  if (memory == MAP_FAILED) return ordinary("its files cannot be mapped");
  bool declared = library ? library->isPersistent(memory, kPageBytes) != 0 : isForced();
  ::munmap(memory, kPageBytes);
  if (!synchronous && !declared) return ordinary("its file system has no DAX (mmap with MAP_SYNC)");
  std::string what = synchronous ? "DAX" : "declared persistent (PMEM_IS_PMEM_FORCE)";
  if (library) return {Persistence::library, what + ", flushed by libpmem"};
  return {Persistence::msync, what + ", flushed by msync: libpmem.so.1 is not installed"};
}

}  // namespace

const PersistentMemoryLibrary* PersistentMemoryLibrary::get() {
  static const PersistentMemoryLibrary* const opened = []() -> const PersistentMemoryLibrary* {
    void* loaded = ::dlopen("libpmem.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!loaded) return nullptr;
    static PersistentMemoryLibrary library;
    auto find = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(loaded, symbol));
      return function != nullptr;
    };
    bool whole = find(library.copy, "pmem_memcpy_nodrain") && find(library.drain, "pmem_drain") &&
                 find(library.isPersistent, "pmem_is_pmem");
    return whole ? &library : nullptr;
  }();
  return opened;
}

PersistentDirectories::Found PersistentDirectories::add(const std::string& directory) {
  Found found = probe(directory);
  std::lock_guard lock(mutex_);
  directories_[directory] = found.persistence;
  return found;
}

Persistence PersistentDirectories::of(const std::string& path) const {
  std::lock_guard lock(mutex_);
  for (const auto& [directory, persistence] : directories_) {
    bool below = path.size() > directory.size() && path[directory.size()] == '/' &&
                 path.compare(0, directory.size(), directory) == 0;
    if (below) return persistence;
  }
  return Persistence::none;
}

int MappedFile::write(uint64_t position, const uint8_t* bytes, size_t length, size_t& written) {
  for (written = 0; written < length;) {
    uint64_t at = position + written;
    if (!window_ || at < start_ || at >= start_ + length_) {
      if (int error = map(at, length - written); error != 0) return error;
    }
    auto part = static_cast<size_t>(std::min<uint64_t>(length - written, start_ + length_ - at));
    uint8_t* target = window_ + (at - start_);
    if (persistence_ == Persistence::library) PersistentMemoryLibrary::get()->copy(target, bytes + written, part);
    else std::memcpy(target, bytes + written, part);
    dirtyFrom_ = std::min(dirtyFrom_, at - start_);
    dirtyTo_ = std::max(dirtyTo_, at - start_ + part);
    written += part;
  }
  return 0;
}

int MappedFile::persist() {
  if (failed_ != 0 || dirtyFrom_ >= dirtyTo_) return failed_;
  if (persistence_ == Persistence::library) {
    PersistentMemoryLibrary::get()->drain();
  } else {
    uint64_t from = roundDown(dirtyFrom_, kPageBytes);
    if (::msync(window_ + from, dirtyTo_ - from, MS_SYNC) != 0) return failed_ = errno;
  }
  dirtyFrom_ = UINT64_MAX;
  dirtyTo_ = 0;
  return 0;
}

void MappedFile::unmap() {
  if (window_) ::munmap(window_, length_);
  window_ = nullptr;
  allocated_ = 0;
  failed_ = 0;
  dirtyFrom_ = UINT64_MAX;
  dirtyTo_ = 0;
}

/** Maps a window from `position` on, for `length` bytes if it can be so large. */
int MappedFile::map(uint64_t position, uint64_t length) {
  if (int error = persist(); error != 0) return error;
  uint64_t start = roundDown(position, kPageBytes);
  uint64_t least = std::min(roundUp(position + length, kPageBytes) - start, kMaxWindowBytes);
  uint64_t most = std::max(least, std::clamp(roundUp(start, kPageBytes), kMinWindowBytes, kMaxWindowBytes));
  if (int error = extend(start, least, most); error != 0) return error;
  void* memory = mapShared(fd_, start, most, true);
  // Where memory was declared persistent.
  if (memory == MAP_FAILED) memory = mapShared(fd_, start, most, false);
  if (memory == MAP_FAILED) return errno;
  uint64_t allocated = std::max(allocated_, start + most);
  unmap();
  allocated_ = allocated;
  window_ = static_cast<uint8_t*>(memory);
  start_ = start;
  length_ = most;
  // At once instead of page by page; who cannot does it so.
  ::madvise(window_, length_, MADV_POPULATE_WRITE);
  return 0;
}

/**
 * Has the file reach `most` bytes behind `start`, or `least`, which `most` becomes, where there is no more; all of it allocated: to touch a mapping
 * without space below it would end the process.
 */
int MappedFile::extend(uint64_t start, uint64_t least, uint64_t& most) {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return errno;
  int error = allocateFully(fd_, 0, start, most);
  if (error != 0 && most > least) error = allocateFully(fd_, 0, start, most = least);
  if (error != 0) return error;
  return static_cast<uint64_t>(info.st_size) >= start + most ? 0 : failed_ = flushFile(fd_);
}

}  // namespace kafabric
