// An open file, shared by those who read and write it (the store) and those who send it (the reactors).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <memory>
#include <string>

namespace kafabric {

/**
 * Owns a file descriptor and closes it when the last holder lets go, so that a file can be closed or deleted while
 * parts of it are still being sent. Thread-safe.
 */
class FileHandle {
 public:
  /** Takes ownership of `fd`. `blockBytes`: see below. */
  static std::shared_ptr<FileHandle> adopt(int fd, std::string path, size_t blockBytes = 0);
  /** The open file with this id, or null once its last holder has let go. */
  static std::shared_ptr<FileHandle> find(uint64_t id);
  /**
   * Whether nobody in this process holds a file, by whatever name, nor has sent from its page cache: what was sent may wait in a socket, and
   * change with the file.
   */
  static bool isUnused(dev_t device, ino_t inode);
  /** Waits, 100 ms at most, until those who hold a file have let go of it, if they are about to: see setClosing. */
  static void awaitClosing(dev_t device, ino_t inode);
  /** A file is about to be removed: another one may get its inode, which nobody has sent. */
  static void forgetSent(dev_t device, ino_t inode);

  ~FileHandle();
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;

  int fd() const { return fd_; }
  /** Names the file within the process; never used again. How TypeScript refers to it. */
  uint64_t id() const { return id_; }
  const std::string& path() const { return path_; }
  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }
  /** With direct I/O, the unit of positions, lengths and addresses; 0 where reads and writes go through the page cache. */
  size_t blockBytes() const { return blockBytes_; }
  /** Everything below is on the device. */
  uint64_t written() const { return written_.load(std::memory_order_acquire); }
  void setWritten(uint64_t end) { written_.store(end, std::memory_order_release); }
  /** For sendfile, through the page cache also where reads and writes bypass it; -1 when it cannot be had. */
  int sendFd();
  /** The store has closed the file: who holds it still will let go as soon as what is under way has ended. */
  void setClosing() { closing_.store(true, std::memory_order_relaxed); }

 private:
  FileHandle(int fd, uint64_t id, std::string path, size_t blockBytes);

  int fd_;
  uint64_t id_;
  std::string path_;
  size_t blockBytes_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::atomic<uint64_t> written_{0};
  std::atomic<bool> closing_{false};
  std::mutex mutex_;
  bool sent_ = false;
  int cachedFd_ = -1;  // a descriptor of its own for the page cache, made when it is first needed
};

}  // namespace kafabric
