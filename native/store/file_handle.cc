#include "store/file_handle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace kafabric {

namespace {

struct Entry {
  std::weak_ptr<FileHandle> shared;
  const FileHandle* file;  // alive as long as the entry, which its destructor removes
};

struct Registry {
  std::mutex mutex;
  std::condition_variable gone;  // a file
  uint64_t nextId = 1;
  std::unordered_map<uint64_t, Entry> files;
  std::set<std::pair<dev_t, ino_t>> sent;  // files that were sent from the page cache
};

constexpr std::chrono::milliseconds kClosingTime{100};

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
  all.files.emplace(id, Entry{file, file.get()});
  return file;
}

std::shared_ptr<FileHandle> FileHandle::find(uint64_t id) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  auto found = all.files.find(id);
  return found == all.files.end() ? nullptr : found->second.shared.lock();
}

bool FileHandle::isUnused(dev_t device, ino_t inode) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (all.sent.count({device, inode}) > 0) return false;
  for (const auto& [id, entry] : all.files) {
    if (entry.file->device() == device && entry.file->inode() == inode) return false;
  }
  return true;
}

void FileHandle::awaitClosing(dev_t device, ino_t inode) {
  Registry& all = registry();
  std::unique_lock lock(all.mutex);
  all.gone.wait_for(lock, kClosingTime, [&] {
    return std::none_of(all.files.begin(), all.files.end(), [&](const auto& entry) {
      const FileHandle& file = *entry.second.file;
      return file.device() == device && file.inode() == inode && file.closing_.load(std::memory_order_relaxed);
    });
  });
}

void FileHandle::forgetSent(dev_t device, ino_t inode) {
  std::lock_guard lock(registry().mutex);
  registry().sent.erase({device, inode});
}

FileHandle::FileHandle(int fd, uint64_t id, std::string path, size_t blockBytes)
    : fd_(fd), id_(id), path_(std::move(path)), blockBytes_(blockBytes) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return;
  device_ = info.st_dev;
  inode_ = info.st_ino;
}

int FileHandle::sendFd() {
  std::lock_guard lock(mutex_);
  if (!sent_) {
    std::lock_guard all(registry().mutex);
    registry().sent.emplace(device_, inode_);
    sent_ = true;
  }
  if (blockBytes_ == 0) return fd_;
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
  if (closing_.load(std::memory_order_relaxed)) registry().gone.notify_all();
  ::close(fd_);
  if (cachedFd_ >= 0) ::close(cachedFd_);
}

}  // namespace kafabric
