#include "store/directory_lock.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>

namespace kafabric {

namespace {

// POSIX record locks, which Java's FileLock uses, belong to the process: a second one succeeds, and closing any descriptor of
// the file drops them all. So the directories are noted, and a held lock file is never opened again.
struct Held {
  std::mutex mutex;
  std::set<std::string> directories;
};

Held& held() {
  static auto* instance = new Held;  // never destroyed: locks may be released while the process exits
  return *instance;
}

struct flock wholeFile(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

IoStatus takenBy(const std::string& file, const std::string& owner) {
  return {EBUSY, "cannot lock " + file + ": " + owner + " is using this directory"};
}

}  // namespace

std::unique_ptr<DirectoryLock> DirectoryLock::acquire(const std::string& directory, IoStatus& status) {
  char resolved[PATH_MAX];
  if (!::realpath(directory.c_str(), resolved)) {
    status = IoStatus::failure(errno, "cannot lock directory", directory);
    return nullptr;
  }
  std::string real = resolved;
  std::string file = real + "/.lock";
  std::lock_guard guard(held().mutex);
  if (held().directories.count(real)) {
    status = takenBy(file, "this process");
    return nullptr;
  }
  int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    status = IoStatus::failure(errno, "cannot open", file);
    return nullptr;
  }
  struct flock lock = wholeFile(F_WRLCK);
  if (::fcntl(fd, F_SETLK, &lock) != 0) {
    int error = errno;
    struct flock owner = wholeFile(F_WRLCK);
    bool known = ::fcntl(fd, F_GETLK, &owner) == 0 && owner.l_type != F_UNLCK && owner.l_pid > 0;
    if (error == EAGAIN || error == EACCES)
      status = takenBy(file, known ? "process " + std::to_string(owner.l_pid) : "another process");
    else
      status = IoStatus::failure(error, "cannot lock", file);
    ::close(fd);
    return nullptr;
  }
  held().directories.insert(real);
  return std::unique_ptr<DirectoryLock>(new DirectoryLock(fd, real));
}

DirectoryLock::~DirectoryLock() {
  std::lock_guard guard(held().mutex);
  ::close(fd_);  // drops the lock
  held().directories.erase(directory_);
}

}  // namespace kafabric
