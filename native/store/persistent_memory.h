// Persistent memory: files of a DAX file system, written through a mapping, and durable without a system call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace kafabric {

/** How what is written to a mapping becomes durable. */
enum class Persistence : uint8_t {
  none,     // not at all: files are written and flushed by system calls
  msync,    // by msync
  library,  // by libpmem, which flushes the processor's caches
};

/** libpmem, opened at run time; the process keeps it. */
struct PersistentMemoryLibrary {
  void* (*copy)(void* target, const void* source, size_t length) = nullptr;  // pmem_memcpy_nodrain
  void (*drain)() = nullptr;                                                 // pmem_drain
  int (*isPersistent)(const void* address, size_t length) = nullptr;         // pmem_is_pmem

  /** Null where there is none. Thread-safe. */
  static const PersistentMemoryLibrary* get();
};

/** Directories whose files are to be written as persistent memory. Thread-safe. */
class PersistentDirectories {
 public:
  struct Found {
    Persistence persistence;
    std::string detail;  // why, for people
  };

  /**
   * Finds out with a file without a name how files below `directory` can be made durable, and has them written so from then on. PMEM_IS_PMEM_FORCE=1, as
   * libpmem has it, declares any memory persistent. Blocks.
   */
  Found add(const std::string& directory);
  Persistence of(const std::string& path) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Persistence> directories_;
};

/** Writes to one file through a window of it that is mapped. For one thread at a time. */
class MappedFile {
 public:
  /** `persistence` is not none. The descriptor must outlive it. */
  MappedFile(int fd, Persistence persistence) : fd_(fd), persistence_(persistence) {}
  ~MappedFile() { unmap(); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /** Space is allocated as needed, and ahead. 0 or an errno value; `written` says how much was written, durably once `persist` has succeeded. */
  int write(uint64_t position, const uint8_t* bytes, size_t length, size_t& written);
  /**
   * Makes everything written durable. 0 or an errno value, from then on, until `unmap`: the kernel may have dropped what it could not write, and says so
   * only once.
   */
  int persist();
  /** The file is about to be made shorter. */
  void unmap();
  /** The file has space to here, at least. */
  uint64_t allocated() const { return allocated_; }

 private:
  int map(uint64_t position, uint64_t length);
  int extend(uint64_t start, uint64_t least, uint64_t& most);

  const int fd_;
  const Persistence persistence_;
  uint8_t* window_ = nullptr;
  uint64_t start_ = 0;
  uint64_t length_ = 0;
  uint64_t dirtyFrom_ = UINT64_MAX;  // in the window
  uint64_t dirtyTo_ = 0;
  uint64_t allocated_ = 0;           // since the last unmap
  int failed_ = 0;                   // what a flush failed with, since then
};

}  // namespace kafabric
