#include "direct/region.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "direct/guarded_copy.h"
#include "store/io.h"

namespace kafabric::direct {

namespace {

// Of one system call: other threads' work on the same pages is not held up for longer.
constexpr size_t kCallBytes = size_t{4} << 20;

template <typename Call>
int transfer(size_t length, uint64_t offset, Call call) {
  for (size_t done = 0; done < length;) {
    ssize_t count = call(done, std::min(length - done, kCallBytes), static_cast<off_t>(offset + done));
    if (count > 0) done += static_cast<size_t>(count);
    else if (count == 0) return EFAULT;
    else if (errno != EINTR) return errno;
  }
  return 0;
}

/** What is mapped for `size` bytes: of huge pages no part can be unmapped. */
size_t mappedBytes(int fd, uint64_t size) {
  struct statfs system;
  if (fstatfs(fd, &system) != 0 || system.f_type != HUGETLBFS_MAGIC) return size;
  auto page = static_cast<uint64_t>(system.f_bsize);
  return (size + page - 1) / page * page;
}

}  // namespace

Region::Region(int fd, uint64_t size) : descriptor_(fd), size_(size), pages_(nullptr) {
  if (fd < 0 || !canGuardCopies()) return;
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (pages != MAP_FAILED) pages_ = static_cast<uint8_t*>(pages);
}

Region::~Region() {
  if (pages_) munmap(pages_, mappedBytes(descriptor_.fd, size_));
}

int Region::read(uint8_t* into, size_t length, uint64_t offset) const {
  if (pages_) return guarded(pages_ + offset, length, [&] { std::memcpy(into, pages_ + offset, length); }) ? 0 : EFAULT;
  return transfer(length, offset, [&](size_t done, size_t bytes, off_t at) { return pread(descriptor_.fd, into + done, bytes, at); });
}

int Region::write(const uint8_t* from, size_t length, uint64_t offset) const {
  if (pages_) return guarded(pages_ + offset, length, [&] { copyForOthers(pages_ + offset, from, length); }) ? 0 : EFAULT;
  return transfer(length, offset, [&](size_t done, size_t bytes, off_t at) { return pwrite(descriptor_.fd, from + done, bytes, at); });
}

int checkRegion(int fd, uint64_t size) {
  // First of all: reads of a pipe, a device or a file of a network would wait for others, and even the size of a file may be theirs to say.
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return errno;
  struct stat status;
  if (fstat(fd, &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) return EACCES;
  // Whoever could make it shorter later could turn a put or a get that was accepted into an error half-way.
  if (!(seals & F_SEAL_SHRINK)) return EPERM;
  return size > 0 && static_cast<uint64_t>(status.st_size) >= size ? 0 : ERANGE;
}

int createShared(uint64_t size) {
  int fd = memfd_create("kafabric-client", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  int error = allocateFully(fd, 0, 0, size);
  // Nobody, not even this process, can take away what another is told of.
  if (error == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) error = errno;
  if (error == 0) return fd;
  close(fd);
  return -error;
}

}  // namespace kafabric::direct
