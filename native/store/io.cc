#include "store/io.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace kafabric {

namespace {

/** Closes a descriptor at the end of a scope. */
struct ScopedFd {
  int fd;
  explicit ScopedFd(int opened) : fd(opened) {}
  ~ScopedFd() {
    if (fd >= 0) ::close(fd);
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;
};

constexpr size_t kMaxVectors = 1024;  // IOV_MAX on Linux

}  // namespace

IoStatus IoStatus::failure(int error, const char* what, const std::string& path) {
  char buffer[128];
  return {error, std::string(what) + " " + path + ": " + strerror_r(error, buffer, sizeof(buffer))};
}

int writeFully(int fd, std::vector<iovec>& parts, uint64_t position, size_t& written) {
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

int readFully(int fd, uint8_t* target, size_t length, uint64_t position, size_t& got) {
  got = 0;
  while (got < length) {
    ssize_t n = ::pread(fd, target + got, length - got, static_cast<off_t>(position + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return 0;
}

std::string parentOf(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

IoStatus syncDirectory(const std::string& path) {
  ScopedFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd < 0) return IoStatus::failure(errno, "cannot open directory", path);
  if (::fsync(directory.fd) != 0) return IoStatus::failure(errno, "cannot flush directory", path);
  return {};
}

IoStatus writeAtomically(const std::string& path, const uint8_t* bytes, size_t length) {
  std::string temporary = path + ".tmp";
  {
    ScopedFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
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
