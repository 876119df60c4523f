#include "arena/shared_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <new>

#include "arena/mapping.h"

namespace kafabric {

namespace {

constexpr size_t kSmallestGrowthBytes = size_t{1} << 20;
constexpr size_t kSmallPageBytes = 4096;
constexpr int kNameAttempts = 8;
/** What a fault that reads maps of pages that are there (fault_around_bytes); one that writes maps its own. */
constexpr size_t kMappedTogetherBytes = size_t{64} << 10;
/** Never written: all of it is the kernel's one page of zeros. */
uint8_t zeros[size_t{256} << 10];

std::string because(const std::string& what, int error) {
  char buffer[128];
  return what + ": " + strerror_r(error, buffer, sizeof(buffer));
}

const std::string kPrefix = "kafabric-";

std::string prefixOf(const SharedPlace& place) { return kPrefix + place.name + "."; }

enum class Kind { unusable, small, reserved };

/** Of the file system there: `small` for tmpfs, whose pages may be huge nevertheless; `reserved` for hugetlbfs. */
Kind kindOf(const SharedPlace& place, std::string& reason) {
  struct statfs found;
  if (::statfs(place.directory.c_str(), &found) != 0) {
    reason = because("cannot use " + place.directory, errno);
    return Kind::unusable;
  }
  if (found.f_type == TMPFS_MAGIC) return Kind::small;
  if (found.f_type == HUGETLBFS_MAGIC && static_cast<size_t>(found.f_bsize) == kHugePageBytes) return Kind::reserved;
  reason = place.directory + (found.f_type == HUGETLBFS_MAGIC ? " has no pages of 2 MiB" : " is neither a tmpfs nor a hugetlbfs");
  return Kind::unusable;
}

/** Also when signals come: 0 or an errno value. */
int allocate(int fd, size_t bytes) {
  int result = 0;
  while ((result = ::fallocate(fd, 0, 0, static_cast<off_t>(bytes))) != 0 && errno == EINTR) continue;
  return result == 0 ? 0 : errno;
}

/** Whether all of it would fit, with a sixteenth of the tmpfs to spare for others. */
bool hasRoom(const SharedPlace& place, size_t bytes, std::string& reason) {
  struct statvfs space;
  if (::statvfs(place.directory.c_str(), &space) != 0) {
    reason = because("cannot use " + place.directory, errno);
    return false;
  }
  uint64_t free = uint64_t{space.f_bavail} * space.f_frsize;
  uint64_t reserve = uint64_t{space.f_blocks} * space.f_frsize / 16;
  bool unlimited = space.f_blocks == 0;
  if (unlimited || free >= bytes + reserve) return true;
  reason = place.directory + " has " + std::to_string(free >> 20) + " MiB free, and " +
           std::to_string((bytes + reserve) >> 20) + " MiB are needed";
  return false;
}

uint64_t bytesTaken(int fd) {
  struct stat status {};
  ::fstat(fd, &status);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

/** A new file, locked; -1 and errno. */
int createLocked(const SharedPlace& place, std::string& path) {
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    uint64_t random = 0;
    if (::getrandom(&random, sizeof(random), 0) != sizeof(random)) return -1;
    char suffix[48];
    std::snprintf(suffix, sizeof(suffix), "%ld-%016" PRIx64, static_cast<long>(::getpid()), random);
    path = place.directory + "/" + prefixOf(place) + suffix;
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return -1;
    // A replay that started at the same time may have taken the empty file for one whose owner is dead.
    struct stat status;
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::fstat(fd, &status) == 0 && status.st_nlink > 0) return fd;
    ::close(fd);
  }
  errno = EEXIST;
  return -1;
}

void writeHeader(SharedHeader& header, size_t dataBytes) {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  header.version = SharedHeader::kVersion;
  header.pid = static_cast<uint32_t>(::getpid());
  header.createdNs = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  header.journalOffset = SharedFile::kJournalOffset;
  header.journalBytes = SharedFile::kJournalBytes;
  header.dataOffset = SharedFile::kDataOffset;
  header.dataBytes = dataBytes;
  header.magic.store(SharedHeader::kMagic, std::memory_order_release);
}

}  // namespace

static_assert(sizeof(SharedHeader) <= SharedFile::kJournalOffset);
static_assert(SharedFile::kJournalOffset + SharedFile::kJournalBytes <= SharedFile::kDataOffset);
static_assert(SharedFile::kDataOffset % kHugePageBytes == 0);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

std::unique_ptr<SharedFile> SharedFile::create(const SharedPlace& place, size_t dataBytes, std::string& reason) {
  if (!isSharedName(place.name)) {
    reason = "\"" + place.name + "\" is no name for shared memory";
    return nullptr;
  }
  Kind kind = kindOf(place, reason);
  bool reserved = kind == Kind::reserved;
  size_t fileBytes = kDataOffset + (reserved ? (dataBytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes : dataBytes);
  // The kernel reserves pages of hugetlbfs when they are mapped.
  if (kind == Kind::unusable || (!reserved && !hasRoom(place, fileBytes, reason))) return nullptr;
  std::string path;
  int fd = createLocked(place, path);
  if (fd < 0) {
    reason = because("cannot create a file in " + place.directory, errno);
    return nullptr;
  }
  int error = ::ftruncate(fd, static_cast<off_t>(fileBytes)) != 0 ? errno : 0;
  if (error == 0) error = allocate(fd, kJournalOffset + kJournalBytes);
  uint8_t* map = nullptr;
  try {
    if (error == 0) map = mapAligned(fileBytes, fd, kDataOffset);
  } catch (const std::bad_alloc&) {
    error = ENOMEM;
  }
  if (error != 0) {
    reason = because("cannot reserve shared memory in " + place.directory, error);
    if (reserved) reason += " (" + std::to_string(fileBytes / kHugePageBytes) + " huge pages are needed)";
    ::unlink(path.c_str());
    ::close(fd);
    return nullptr;
  }
  writeHeader(*reinterpret_cast<SharedHeader*>(map), fileBytes - kDataOffset);
  std::unique_ptr<SharedFile> file(new SharedFile(fd, map, fileBytes, dataBytes, path));
  // A tmpfs for which its size alone counts gives huge pages to fallocate, the first one here; another to who touches a mapping that asks.
  uint64_t before = bytesTaken(fd);
  auto gaveHuge = [&] { return dataBytes >= kHugePageBytes && bytesTaken(fd) - before >= kHugePageBytes; };
  if (reserved) file->pages_ = Pages::reserved;
  else if (::fallocate(fd, FALLOC_FL_KEEP_SIZE, kDataOffset, kSmallPageBytes) == 0 && gaveHuge()) file->hugeBytes_ = kHugePageBytes;
  else if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kDataOffset, kSmallPageBytes) == 0 && file->findsHugePages()) file->pages_ = Pages::huge;
  return file;
}

bool SharedFile::findsHugePages() const {
  uint64_t before = bytesTaken(fd_);
  return dataBytes_ >= kHugePageBytes && populatePages(data(), 1) && bytesTaken(fd_) - before >= kHugePageBytes;
}

SharedFile::~SharedFile() {
  remove();
  ::munmap(map_, fileBytes_);
  ::close(fd_);
}

int SharedFile::open() const {
  if (pages_ == Pages::reserved) return -ENOTSUP;  // others protect single pages of 4 KiB
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_);
  int fd = ::open(path, O_RDWR | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

size_t SharedFile::grow(size_t wanted, Growth growth) {
  size_t step = std::min(wanted, dataBytes_ - backed_);
  size_t grown = pages_ == Pages::huge ? growHuge(step) : 0;
  bool smallOnly = pages_ == Pages::small && hugeBytes_ == 0;
  if (smallOnly && growth == Growth::present) grown = growPresent(step);
  if (grown == 0) grown = growSmall(step);
  backed_ += grown;
  return grown;
}

size_t SharedFile::growHuge(size_t wanted) {
  size_t done = 0;
  while (done < wanted && populateHuge(backed_ + done)) done += kHugePageBytes;
  return std::min(done, dataBytes_ - backed_);
}

bool SharedFile::populateHuge(size_t offset) {
  size_t bytes = std::min(kHugePageBytes, dataBytes_ - offset);
  uint64_t faults = pageFaults();
  if (offset % kHugePageBytes != 0 || !populatePages(data() + offset, bytes)) return false;
  // A range that has no huge page takes a fault for each of its small ones.
  if (pageFaults() - faults < bytes / kSmallPageBytes) hugeBytes_ += bytes;
  return true;
}

size_t SharedFile::growSmall(size_t wanted) {
  for (size_t step = wanted; step > 0;) {
    if (::fallocate(fd_, 0, static_cast<off_t>(kDataOffset + backed_), static_cast<off_t>(step)) == 0) {
      if (pages_ == Pages::reserved || (pages_ == Pages::small && hugeBytes_ > 0)) hugeBytes_ = backed_ + step;
      return step;
    }
    if (errno == EINTR) continue;
    if (step <= kSmallestGrowthBytes) break;
    step = std::max(step / 4 / kHugePageBytes * kHugePageBytes, kSmallestGrowthBytes);
  }
  return 0;
}

size_t SharedFile::growPresent(size_t wanted) {
  size_t done = 0;
  while (done < wanted) {
    ssize_t written = ::pwrite(fd_, zeros, std::min(sizeof(zeros), wanted - done), static_cast<off_t>(kDataOffset + backed_ + done));
    if (written > 0) done += static_cast<size_t>(written);
    else if (written == 0 || errno != EINTR) break;
  }
  done -= done % kSmallPageBytes;
  for (size_t at = 0; at < done; at += kMappedTogetherBytes) static_cast<volatile uint8_t*>(data())[backed_ + at];
  return done;
}

bool SharedFile::beginEntry() {
  if ((header().pending.fetch_add(1, std::memory_order_acquire) & kClosed) == 0) return true;
  endEntry();
  return false;
}

uint64_t SharedFile::pending() const { return header().pending.load(std::memory_order_acquire) & ~kClosed; }

bool SharedFile::remove() {
  uint64_t none = 0;
  if (!header().pending.compare_exchange_strong(none, kClosed)) return (none & kClosed) != 0;
  ::unlink(path_.c_str());
  return true;
}

bool SharedFile::isRemoved() {
  struct stat status;
  if (::fstat(fd_, &status) != 0 || status.st_nlink > 0) return false;
  header().pending.fetch_or(kClosed, std::memory_order_acq_rel);
  return true;
}

bool isSharedName(const std::string& name) {
  auto allowed = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

bool isSharedFileName(const std::string& path) {
  std::string suffix = path.substr(path.rfind('.') + 1);
  long pid = 0;
  uint64_t random = 0;
  int end = 0;
  return std::sscanf(suffix.c_str(), "%10ld-%16" SCNx64 "%n", &pid, &random, &end) == 2 && pid > 0 &&
         static_cast<size_t>(end) == suffix.size() && suffix.size() - suffix.find('-') == 17;
}

std::vector<std::string> sharedFilesOf(const SharedPlace& place) {
  std::vector<std::string> paths;
  std::string prefix = place.name.empty() ? kPrefix : prefixOf(place);
  std::vector<std::string> directories = place.others;
  directories.push_back(place.directory);
  for (const std::string& path : directories) {
    DIR* directory = ::opendir(path.c_str());
    if (!directory) continue;
    // Names hold no '.', so that what starts with the prefix is of this place.
    while (dirent* entry = ::readdir(directory)) {
      if (std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) == 0) paths.push_back(path + "/" + entry->d_name);
    }
    ::closedir(directory);
  }
  return paths;
}

}  // namespace kafabric
