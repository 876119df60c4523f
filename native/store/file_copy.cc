#include "store/file_copy.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include "store/aligned_memory.h"
#include "store/descriptor.h"

namespace kafabric {

namespace {

/** One write: little enough for clients to get between, unless the file system says that it wants more. */
constexpr size_t kMinPieceBytes = size_t{1} << 20;
constexpr size_t kMaxPieceBytes = size_t{4} << 20;
/** Clients that leave no pause let a piece through so often. */
constexpr std::chrono::milliseconds kPatience{20};

size_t pieceBytesFor(const struct stat& target) {
  auto wanted = static_cast<size_t>(std::max<blksize_t>(target.st_blksize, 0));
  return std::clamp<size_t>(roundDown(wanted, kMaxBlockBytes), kMinPieceBytes, kMaxPieceBytes);
}

/** The end of a file need not be whole blocks. */
int useThePageCache(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  return flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0 ? errno : 0;
}

int writePiece(int fd, uint8_t* bytes, size_t length, uint64_t position, size_t& block) {
  if (block > 0 && length % block != 0) {
    if (int error = useThePageCache(fd); error != 0) return error;
    block = 0;
  }
  std::vector<iovec> parts{{bytes, length}};
  size_t written = 0;
  return writeFully(fd, parts, position, written, std::max<size_t>(block, 1));
}

/** Where there is something to copy at or behind `position`, in whole blocks; `end` when nothing is before that. Holes read as zeros. */
uint64_t nextData(int fd, uint64_t position, uint64_t end) {
  off_t found = ::lseek(fd, static_cast<off_t>(position), SEEK_DATA);
  if (found < 0) return errno == ENXIO ? end : position;
  return std::clamp(roundDown(static_cast<uint64_t>(found), kMaxBlockBytes), position, end);
}

/** A copy that ends with a hole has the length nevertheless. */
int extendTo(int fd, uint64_t size) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno;
  if (static_cast<uint64_t>(info.st_size) >= size) return 0;
  return ::ftruncate(fd, static_cast<off_t>(size)) == 0 ? 0 : errno;
}

/** As rename, but never over another file, also where the file system cannot promise that: nobody else makes such names. */
int renameToNew(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  struct stat info {};
  if (::lstat(to.c_str(), &info) == 0) return EEXIST;
  if (errno != ENOENT) return errno;
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

IoStatus copyRange(const std::string& from, const std::string& to, uint64_t position, uint64_t length, bool direct, uint64_t& copied,
                   ClientIo* clients) {
  copied = 0;
  Descriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.fd < 0) return IoStatus::failure(errno, "cannot open", from);
  Descriptor target(::open(to.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (target.fd < 0) return IoStatus::failure(errno, "cannot create", to);
  if (direct) enableDirect(source.fd, from);
  size_t block = direct ? enableDirect(target.fd, to) : 0;
  struct stat info {};
  if (::fstat(source.fd, &info) != 0) return IoStatus::failure(errno, "cannot examine", from);
  struct stat made {};
  if (::fstat(target.fd, &made) != 0) return IoStatus::failure(errno, "cannot examine", to);
  uint64_t end = std::clamp(static_cast<uint64_t>(info.st_size), position, position + length);
  size_t pieceBytes = pieceBytesFor(made);
  // Kept: fresh pages for each step would cost more than the copy.
  thread_local const AlignedMemory buffer = allocateAligned(kMaxPieceBytes);
  while (position + copied < end) {
    uint64_t data = nextData(source.fd, position + copied, end);
    copied = data - position;
    if (data == end) {
      int error = extendTo(target.fd, end);
      return error == 0 ? IoStatus{} : IoStatus::failure(error, "cannot extend", to);
    }
    // Whole blocks are asked for: the end of the file may come before the end of the range.
    size_t wanted = static_cast<size_t>(std::min<uint64_t>(pieceBytes, end - data));
    if (clients) clients->awaitPause(info.st_dev, made.st_dev, kPatience);
    size_t got = 0;
    int error = readFully(source.fd, buffer.get(), static_cast<size_t>(roundUp(wanted, kMaxBlockBytes)), data, got);
    if (error != 0) return IoStatus::failure(error, "cannot read", from);
    got = std::min(got, wanted);
    if (got == 0) break;
    error = writePiece(target.fd, buffer.get(), got, data, block);
    if (error != 0) return IoStatus::failure(error, "cannot write", to);
    copied += got;
    if (got < wanted) break;
  }
  return {};
}

IoStatus publishCopy(const std::string& from, const std::string& copy, const std::string& to) {
  struct stat original {};
  if (::stat(from.c_str(), &original) != 0) return IoStatus::failure(errno, "cannot examine", from);
  {
    Descriptor file(::open(copy.c_str(), O_RDWR | O_CLOEXEC));
    if (file.fd < 0) return IoStatus::failure(errno, "cannot open", copy);
    struct stat info {};
    if (::fstat(file.fd, &info) != 0) return IoStatus::failure(errno, "cannot examine", copy);
    if (info.st_size != original.st_size) return IoStatus::failure(EIO, "another length than the original has", copy);
    timespec times[2] = {original.st_atim, original.st_mtim};
    if (::futimens(file.fd, times) != 0) return IoStatus::failure(errno, "cannot date", copy);
    int result = 0;
    while ((result = ::fdatasync(file.fd)) != 0 && errno == EINTR) continue;
    if (result != 0) return IoStatus::failure(errno, "cannot flush", copy);
  }
  if (int error = renameToNew(copy, to); error != 0) return IoStatus::failure(error, "cannot rename a copy to", to);
  return syncDirectory(parentOf(to));
}

}  // namespace kafabric
