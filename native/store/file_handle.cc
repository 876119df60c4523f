#include "store/file_handle.h"

#include <fcntl.h>
#include <unistd.h>

#include <mutex>
#include <unordered_map>

namespace kafabric {

namespace {

struct Registry {
  std::mutex mutex;
  uint64_t nextId = 1;
  std::unordered_map<uint64_t, std::weak_ptr<FileHandle>> files;
};

// Never destroyed: files may be closed while the process exits.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

}  // namespace

std::shared_ptr<FileHandle> FileHandle::adopt(int fd, std::string path, size_t blockBytes) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  uint64_t id = all.nextId++;
  std::shared_ptr<FileHandle> file(new FileHandle(fd, id, std::move(path), blockBytes));
  all.files.emplace(id, file);
  return file;
}

std::shared_ptr<FileHandle> FileHandle::find(uint64_t id) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  auto found = all.files.find(id);
  return found == all.files.end() ? nullptr : found->second.lock();
}

int FileHandle::sendFd() {
  if (blockBytes_ == 0) return fd_;
  std::lock_guard lock(mutex_);
  if (cachedFd_ < 0) {
    std::string self = "/proc/self/fd/" + std::to_string(fd_);  // the file itself, whatever its name is by now
    cachedFd_ = ::open(self.c_str(), O_RDONLY | O_CLOEXEC);
  }
  return cachedFd_;
}

FileHandle::~FileHandle() {
  {
    std::lock_guard lock(registry().mutex);
    registry().files.erase(id_);
  }
  ::close(fd_);
  if (cachedFd_ >= 0) ::close(cachedFd_);
}

}  // namespace kafabric
