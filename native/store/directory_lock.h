// Exclusive use of a data directory, compatible with Apache Kafka's: a lock on the file `.lock` in it.
#pragma once

#include <memory>
#include <string>

#include "store/io.h"

namespace kafabric {

class DirectoryLock {
 public:
  /** Null, and the reason with the owner's process id, when another process or this one holds the lock (EBUSY). */
  static std::unique_ptr<DirectoryLock> acquire(const std::string& directory, IoStatus& status);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  DirectoryLock(int fd, std::string directory) : fd_(fd), directory_(std::move(directory)) {}
  int fd_;
  std::string directory_;  // as named in the set of directories that this process holds
};

}  // namespace kafabric
