#include "store/io.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "store/aligned_memory.h"
#include "store/descriptor.h"

namespace kafabric {

namespace {

constexpr size_t kMaxVectors = 1024;  // IOV_MAX on Linux

}  // namespace

IoStatus IoStatus::failure(int error, const char* what, const std::string& path) {
  char buffer[128];
  return {error, std::string(what) + " " + path + ": " + strerror_r(error, buffer, sizeof(buffer))};
}

int writeFully(int fd, std::vector<iovec>& parts, uint64_t position, size_t& written, size_t block) {
  written = 0;
  for (size_t first = 0; first < parts.size();) {
    if (parts[first].iov_len == 0) {
      ++first;
      continue;
    }
    int count = static_cast<int>(std::min(parts.size() - first, kMaxVectors));
    ssize_t n = ::pwritev(fd, parts.data() + first, count, static_cast<off_t>(position + written));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    n -= n % static_cast<ssize_t>(block);
    if (n == 0) return EIO;  // regular files do not accept nothing without an error
    written += static_cast<size_t>(n);
    for (auto left = static_cast<size_t>(n); left > 0;) {
      size_t taken = std::min(left, parts[first].iov_len);
      parts[first].iov_base = static_cast<uint8_t*>(parts[first].iov_base) + taken;
      parts[first].iov_len -= taken;
      left -= taken;
      if (parts[first].iov_len == 0) ++first;
    }
  }
  return 0;
}

int allocateFully(int fd, int mode, uint64_t position, uint64_t length) {
  int result = 0;
  while ((result = ::fallocate(fd, mode, static_cast<off_t>(position), static_cast<off_t>(length))) != 0 && errno == EINTR) continue;
  return result == 0 ? 0 : errno;
}

int readFully(int fd, uint8_t* target, size_t length, uint64_t position, size_t& got) {
  got = 0;
  while (got < length) {
    ssize_t n = ::pread(fd, target + got, length - got, static_cast<off_t>(position + got));
    if (n < 0 && errno == EINTR) continue;
    // A direct read that went on where a file ends within a block: some file systems look at the position first.
    if (n < 0 && errno == EINVAL && got > 0) break;
    if (n < 0) return errno;
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return 0;
}

namespace {

/** The unit of direct I/O as the file system states it; 0: it has none; kMaxBlockBytes where it does not say. */
size_t statedBlock(const std::string& path) {
#ifdef STATX_DIOALIGN
  struct statx info {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_DIOALIGN, &info) == 0 && (info.stx_mask & STATX_DIOALIGN)) {
    return info.stx_dio_offset_align == 0 ? 0 : std::max(info.stx_dio_offset_align, info.stx_dio_mem_align);
  }
#else
  (void)path;
#endif
  return kMaxBlockBytes;
}

}  // namespace

size_t enableDirect(int fd, const std::string& path) {
  size_t block = statedBlock(path);
  bool usable = block > 0 && block <= kMaxBlockBytes && (block & (block - 1)) == 0;
  int flags = usable ? ::fcntl(fd, F_GETFL) : -1;
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return 0;
  // Some file systems take the flag and refuse the reads.
  AlignedMemory probe = allocateAligned(kMaxBlockBytes);
  if (::pread(fd, probe.get(), kMaxBlockBytes, 0) >= 0) return block;
  ::fcntl(fd, F_SETFL, flags);
  return 0;
}

uint64_t birthOf(int fd) {
#ifdef STATX_BTIME
  struct statx info {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &info) == 0 && (info.stx_mask & STATX_BTIME)) {
    return static_cast<uint64_t>(info.stx_btime.tv_sec) * 1'000'000'000 + info.stx_btime.tv_nsec;
  }
#else
  (void)fd;
#endif
  return 0;
}

std::string parentOf(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

IoStatus syncDirectory(const std::string& path) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd < 0) return IoStatus::failure(errno, "cannot open directory", path);
  if (::fsync(directory.fd) != 0) return IoStatus::failure(errno, "cannot flush directory", path);
  return {};
}

IoStatus writeAtomically(const std::string& path, const uint8_t* bytes, size_t length) {
  std::string temporary = path + ".tmp";
  {
    Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.fd < 0) return IoStatus::failure(errno, "cannot create", temporary);
    std::vector<iovec> parts{{const_cast<uint8_t*>(bytes), length}};
    size_t written = 0;
    int error = writeFully(file.fd, parts, 0, written);
    if (error == 0 && ::fsync(file.fd) != 0) error = errno;
    if (error != 0) {
      ::unlink(temporary.c_str());
      return IoStatus::failure(error, "cannot write", temporary);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return IoStatus::failure(errno, "cannot replace", path);
  return syncDirectory(parentOf(path));
}

}  // namespace kafabric
