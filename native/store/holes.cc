#include "store/holes.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "store/aligned_memory.h"
#include "store/descriptor.h"

namespace kafabric {

namespace {

constexpr char kCopySuffix[] = ".moving";
constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr uint64_t kSectorBytes = 512;  // of st_blocks

bool areIn(const std::vector<FileRange>& ranges, uint64_t size) {
  uint64_t end = 0;
  for (const FileRange& range : ranges) {
    if (range.position < end || range.length > size || range.position > size - range.length) return false;
    end = range.position + range.length;
  }
  return true;
}

int flush(int fd) {
  while (::fdatasync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

/** As if nobody had changed the file: its age says when it was produced. */
int keepTimes(int fd, const struct stat& before) {
  timespec times[2] = {before.st_atim, before.st_mtim};
  return ::futimens(fd, times) == 0 ? 0 : errno;
}

int measure(int fd, uint64_t& held) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno;
  held = std::min(static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(info.st_blocks) * kSectorBytes);
  return 0;
}

int punch(int fd, const FileRange& range, uint64_t size) {
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  // The last block is given back as a whole.
  uint64_t end = range.position + range.length;
  if (end == size) end = roundUp(end, kMaxBlockBytes);
  while (::fallocate(fd, kMode, static_cast<off_t>(range.position), static_cast<off_t>(end - range.position)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

bool isUnsupported(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV; }

int copyPart(int from, int to, uint64_t position, uint64_t end, uint8_t* buffer) {
  while (position < end) {
    auto wanted = static_cast<size_t>(std::min<uint64_t>(kPieceBytes, end - position));
    size_t got = 0;
    int error = readFully(from, buffer, wanted, position, got);
    if (error == 0 && got < wanted) error = EIO;  // somebody has cut it
    if (error != 0) return error;
    std::vector<iovec> parts{{buffer, got}};
    size_t written = 0;
    if ((error = writeFully(to, parts, position, written)) != 0) return error;
    position += got;
  }
  return 0;
}

/** What lies between the ranges, at the same places of an empty file. */
int copyRest(int from, int to, const std::vector<FileRange>& ranges, uint64_t size) {
  AlignedMemory buffer = allocateAligned(kPieceBytes);
  uint64_t at = 0;
  for (const FileRange& range : ranges) {
    if (int error = copyPart(from, to, at, range.position, buffer.get()); error != 0) return error;
    at = range.position + range.length;
  }
  if (int error = copyPart(from, to, at, size, buffer.get()); error != 0) return error;
  return ::ftruncate(to, static_cast<off_t>(size)) == 0 ? 0 : errno;
}

IoStatus replaceByRest(int from, const struct stat& before, const std::string& path, const std::vector<FileRange>& ranges,
                       uint64_t& held) {
  std::string copy = path + kCopySuffix;
  int error = 0;
  {
    Descriptor to(::open(copy.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, before.st_mode & 0777));
    if (to.fd < 0) return IoStatus::failure(errno, "cannot create", copy);
    error = copyRest(from, to.fd, ranges, static_cast<uint64_t>(before.st_size));
    if (error == 0) error = keepTimes(to.fd, before);
    if (error == 0) error = flush(to.fd);
    if (error == 0) error = measure(to.fd, held);
  }
  if (error == 0 && ::rename(copy.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(copy.c_str());
    return IoStatus::failure(error, "cannot make a copy with less", copy);
  }
  return syncDirectory(parentOf(path));
}

}  // namespace

IoStatus punchHoles(int fd, const std::string& path, const std::vector<FileRange>& ranges, Punched& punched) {
  punched = {};
  struct stat before {};
  if (::fstat(fd, &before) != 0) return IoStatus::failure(errno, "cannot examine", path);
  if (!S_ISREG(before.st_mode) || !areIn(ranges, static_cast<uint64_t>(before.st_size)))
    return IoStatus::failure(EINVAL, "cannot give back what is not in", path);
  int error = 0;
  for (auto range = ranges.begin(); error == 0 && range != ranges.end(); ++range) {
    if (range->length > 0) error = punch(fd, *range, static_cast<uint64_t>(before.st_size));
  }
  if (isUnsupported(error)) {
    punched.replaced = true;
    return replaceByRest(fd, before, path, ranges, punched.held);
  }
  if (error == 0) error = keepTimes(fd, before);
  if (error == 0) error = flush(fd);
  if (error == 0) error = measure(fd, punched.held);
  return error == 0 ? IoStatus{} : IoStatus::failure(error, "cannot give back parts of", path);
}

}  // namespace kafabric
