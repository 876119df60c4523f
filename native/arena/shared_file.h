// The file on tmpfs or hugetlbfs behind an arena in named shared memory: its content outlives the process, also a killed one.
//
// kafabric-<name>.<pid>-<random>, mode 0600:  header page | journal | arena data from kDataOffset on
// The owner holds flock(LOCK_EX) on it for as long as it lives, so that others can tell whether it does.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kafabric {

/** Where shared memory is kept and which processes look for it. */
struct SharedPlace {
  std::string name;  // letters, digits, '_' and '-', at most 64; empty: no shared memory
  std::string directory = "/dev/shm";
  std::vector<std::string> others = {};  // directories where earlier processes may have kept it
};

/** The first page of the file. */
struct SharedHeader {
  static constexpr uint64_t kMagic = 0x314d48534241464b;  // "KFABSHM1"
  static constexpr uint32_t kVersion = 2;

  std::atomic<uint64_t> magic;  // written last: 0 while the rest is not complete
  uint32_t version;
  uint32_t pid;
  uint64_t createdNs;  // since 1970
  uint64_t journalOffset;
  uint64_t journalBytes;
  uint64_t dataOffset;
  uint64_t dataBytes;
  /** Of `pending`: none can be added any more. */
  static constexpr uint64_t kClosed = uint64_t{1} << 63;
  /** Journal entries that were begun and not ended, of which those that are live are a part; and `kClosed`. */
  std::atomic<uint64_t> pending;
};

class SharedFile {
 public:
  static constexpr size_t kJournalOffset = 4096;
  static constexpr size_t kJournalBytes = size_t{12} << 20;
  static constexpr size_t kDataOffset = size_t{16} << 20;  // on a huge page

  /**
   * Makes and maps a file for `dataBytes` (whole pages) of which none are backed yet. Null, and why in `reason`, when the
   * directory is neither a tmpfs nor a hugetlbfs of pages of 2 MiB, lacks room for all of it, or cannot be written.
   */
  static std::unique_ptr<SharedFile> create(const SharedPlace& place, size_t dataBytes, std::string& reason);
  /** Removes the file unless entries are pending. */
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  uint8_t* data() const { return map_ + kDataOffset; }
  /**
   * The file, opened anew: the caller's, without the lock of this one. A negative errno value when it cannot be; ENOTSUP on hugetlbfs,
   * of which others cannot have single pages.
   */
  int open() const;
  uint8_t* journal() const { return map_ + kJournalOffset; }
  const std::string& path() const { return path_; }

  /** `quick`: what pages cost is left to whoever uses them. `present`: small ones are made by writing and mapped together, for two thirds of it. */
  enum class Growth { quick, present };

  /**
   * Reserves the next `wanted` bytes of the data, or fewer, so that using them cannot fail for lack of memory (SIGBUS).
   * Returns how many, with huge pages more, to the end of the last one; 0 when all are backed or the tmpfs is full. One caller at a time.
   */
  size_t grow(size_t wanted, Growth growth = Growth::quick);
  /** Bytes of the data that grow has reserved. */
  size_t backed() const { return backed_; }
  /** Bytes of the data that have come in huge pages. */
  size_t hugeBytes() const { return hugeBytes_; }

  /**
   * Counts an entry whose loss would matter: until it is ended the file is not removed. False once the file is removed, then
   * there is nothing to end. Thread-safe, no system call.
   */
  bool beginEntry();
  void endEntry() { header().pending.fetch_sub(1, std::memory_order_release); }
  /** Entries that were begun and not ended. */
  uint64_t pending() const;
  /** Removes the file's name unless entries are pending; the memory stays mapped. True once it is removed. Thread-safe. */
  bool remove();
  /**
   * Whether the file has no name any more: nobody would find what is in it, so that no entry can be begun from then on. Those that are pending are no
   * longer safe. One system call. Thread-safe.
   */
  bool isRemoved();

 private:
  /** `huge`: of a tmpfs that gives them to whoever asks; never with fallocate, which knows no mapping that asks. `reserved`: of a hugetlbfs. */
  enum class Pages { small, huge, reserved };

  SharedFile(int fd, uint8_t* map, size_t fileBytes, size_t dataBytes, std::string path)
      : fd_(fd), map_(map), fileBytes_(fileBytes), dataBytes_(dataBytes), path_(std::move(path)) {}

  bool findsHugePages() const;
  size_t growHuge(size_t wanted);
  size_t growSmall(size_t wanted);
  size_t growPresent(size_t wanted);
  /** The huge page at `offset` of the data, or as much of it as there is. */
  bool populateHuge(size_t offset);

  static constexpr uint64_t kClosed = SharedHeader::kClosed;
  SharedHeader& header() const { return *reinterpret_cast<SharedHeader*>(map_); }

  int fd_;
  uint8_t* map_;
  size_t fileBytes_;
  size_t dataBytes_;
  Pages pages_ = Pages::small;
  size_t backed_ = 0;
  std::atomic<size_t> hugeBytes_{0};
  std::string path_;
};

/** Whether `name` is allowed in a SharedPlace. */
bool isSharedName(const std::string& name);
/** Whether the path ends as those of files for shared memory do. */
bool isSharedFileName(const std::string& path);
/** The paths of all files of the place, whoever their owners are; without a name, of all places in its directories. */
std::vector<std::string> sharedFilesOf(const SharedPlace& place);

}  // namespace kafabric
