#include "store/recycled_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <vector>

#include "store/file_handle.h"

namespace kafabric {

namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "recycled-";
constexpr char kSuffix[] = ".free";

/** The number in a kept file's name; false for any other name. */
bool parseName(const std::string& name, uint64_t& number) {
  constexpr size_t kPrefixLength = sizeof kPrefix - 1;
  constexpr size_t kSuffixLength = sizeof kSuffix - 1;
  if (name.size() <= kPrefixLength + kSuffixLength || name.size() > kPrefixLength + kSuffixLength + 18) return false;
  if (name.compare(0, kPrefixLength, kPrefix) != 0) return false;
  if (name.compare(name.size() - kSuffixLength, kSuffixLength, kSuffix) != 0) return false;
  std::string digits = name.substr(kPrefixLength, name.size() - kPrefixLength - kSuffixLength);
  if (digits.find_first_not_of("0123456789") != std::string::npos) return false;
  number = std::stoull(digits);
  return true;
}

/** 0, or an errno value. Old content must not be seen under a new name: the change of names is in the file system's journal behind this one. */
int prepare(const std::string& path, uint64_t size, bool zeroes) {
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  struct stat info {};
  int result = ::fstat(fd, &info);
  int error = result != 0 ? errno : 0;
  if (error == 0 && info.st_nlink != 1) error = EEXIST;  // somebody has given it a second name meanwhile
  while (error == 0 && zeroes && (result = ::fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, static_cast<off_t>(size))) != 0) {
    if (errno != EINTR) error = errno;
  }
  ::close(fd);
  return error;
}

/** Of `prepare` and of a rename that replaces nothing: the file system cannot do it, at no other time either. */
bool isUnsupported(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV || error == EINVAL; }

/** The file is about to go, with its last name. */
void forget(const struct stat& info) {
  if (info.st_nlink == 1) FileHandle::forgetSent(info.st_dev, info.st_ino);
}

}  // namespace

void RecycledFiles::keepIn(const std::string& directory, uint64_t limit, bool asTheyAre) {
  std::lock_guard lock(mutex_);
  auto [known, isNew] = pools_.try_emplace(directory);
  Pool& pool = known->second;
  pool.limit = limit;
  pool.asTheyAre = asTheyAre;
  if (!isNew) return;  // what is there is known, or on its way to another name
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    uint64_t number = 0;
    if (!parseName(entry->path().filename().string(), number)) continue;
    pool.next = std::max(pool.next, number + 1);
    struct stat info {};
    std::string path = entry->path().string();
    bool kept = ::lstat(path.c_str(), &info) == 0 && worthKeeping(info) &&
                pool.bytes + static_cast<uint64_t>(info.st_size) <= limit;
    if (!kept) {
      ::unlink(path.c_str());
      continue;
    }
    pool.bytes += static_cast<uint64_t>(info.st_size);
    pool.files.emplace(info.st_size, path);
  }
}

/** A file of this process alone, of which all or nearly all is on the device. */
bool RecycledFiles::worthKeeping(const struct stat& info) const {
  auto size = static_cast<uint64_t>(info.st_size);
  auto space = static_cast<uint64_t>(info.st_blocks) * 512;
  bool whole = space >= size - size / 16;
  return S_ISREG(info.st_mode) && size >= kMinBytes && whole && info.st_nlink == 1 &&
         FileHandle::isUnused(info.st_dev, info.st_ino) && !isRecorded_(info.st_dev, info.st_ino);
}

std::pair<const std::string, RecycledFiles::Pool>* RecycledFiles::poolOf(const std::string& path) {
  std::pair<const std::string, Pool>* found = nullptr;
  for (auto& pool : pools_) {
    const std::string& directory = pool.first;
    bool below = path.size() > directory.size() && path[directory.size()] == '/' &&
                 path.compare(0, directory.size(), directory) == 0;
    if (below && (!found || directory.size() > found->first.size())) found = &pool;
  }
  return found;
}

IoStatus RecycledFiles::remove(const std::string& path) {
  std::error_code error;
  fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return {};
  if (fs::is_directory(status)) {
    std::vector<std::string> files;
    for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
      std::error_code unknown;
      if (entry->is_regular_file(unknown)) files.push_back(entry->path().string());
    }
    for (const std::string& file : files) keep(file);
  } else if (keep(path)) {
    return {};
  }
  fs::remove_all(path, error);
  return error ? IoStatus::failure(error.value(), "cannot remove", path) : IoStatus{};
}

bool RecycledFiles::keep(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return false;
  if (static_cast<uint64_t>(info.st_size) < kMinBytes) {
    forget(info);
    return false;
  }
  // Not while the names are held: files are opened meanwhile.
  FileHandle::awaitClosing(info.st_dev, info.st_ino);
  std::lock_guard names(names_);
  if (::lstat(path.c_str(), &info) != 0) return false;
  if (!worthKeeping(info)) {
    forget(info);
    return false;
  }
  auto size = static_cast<uint64_t>(info.st_size);
  std::string directory;
  {
    std::lock_guard lock(mutex_);
    auto* found = poolOf(path);
    if (!found) return false;
    directory = found->first;
  }
  std::string name = nameFor(directory, size);
  if (name.empty() || !hasRoom(directory) || ::rename(path.c_str(), name.c_str()) != 0) return false;
  record(directory, name, size);
  return true;
}

std::string RecycledFiles::nameFor(const std::string& directory, uint64_t size) {
  std::lock_guard lock(mutex_);
  auto found = pools_.find(directory);
  if (found == pools_.end()) return "";
  Pool& pool = found->second;
  if (pool.bytes + size > pool.limit) return "";
  return directory + "/" + kPrefix + std::to_string(pool.next++) + kSuffix;
}

void RecycledFiles::record(const std::string& directory, const std::string& name, uint64_t size) {
  std::lock_guard lock(mutex_);
  Pool& pool = pools_[directory];
  pool.bytes += size;
  pool.files.emplace(size, name);
}

bool RecycledFiles::hasRoom(const std::string& directory) {
  struct statvfs info {};
  return ::statvfs(directory.c_str(), &info) == 0 && info.f_bavail >= info.f_blocks / kFreeShare;
}

uint64_t RecycledFiles::keptIn(const std::string& directory) const {
  std::lock_guard lock(mutex_);
  auto found = pools_.find(directory);
  return found == pools_.end() ? 0 : found->second.bytes;
}

bool RecycledFiles::adopt(const std::string& directory, int fd, uint64_t size) {
  std::string name = nameFor(directory, size);
  std::string open = "/proc/self/fd/" + std::to_string(fd);
  if (name.empty() || ::linkat(AT_FDCWD, open.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return false;
  record(directory, name, size);
  return true;
}

std::string RecycledFiles::takeName(const std::string& path, uint64_t most, uint64_t& size, bool& asItIs) {
  std::lock_guard lock(mutex_);
  auto* found = poolOf(path);
  if (!found) return "";
  Pool& pool = found->second;
  auto behind = pool.files.upper_bound(most);
  if (behind == pool.files.begin()) return "";
  auto file = std::prev(behind);
  size = file->first;
  asItIs = pool.asTheyAre;
  std::string name = file->second;
  pool.bytes -= size;
  pool.files.erase(file);
  return name;
}

uint64_t RecycledFiles::take(const std::string& path, uint64_t most) {
  uint64_t size = 0;
  bool asItIs = false;
  std::string name = takeName(path, most, size, asItIs);
  if (name.empty()) return 0;
  int error = prepare(name, size, !asItIs);
  if (error == 0 && ::renameat2(AT_FDCWD, name.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) error = errno;
  if (error == 0) {
    std::lock_guard lock(mutex_);
    ++taken_;
    return size;
  }
  ::unlink(name.c_str());
  if (isUnsupported(error)) disable(path);
  return 0;
}

void RecycledFiles::disable(const std::string& path) {
  std::multimap<uint64_t, std::string> files;
  {
    std::lock_guard lock(mutex_);
    auto* found = poolOf(path);
    if (!found) return;
    Pool& pool = found->second;
    pool.limit = 0;
    pool.bytes = 0;
    files.swap(pool.files);
  }
  for (const auto& [size, name] : files) ::unlink(name.c_str());
}

bool RecycledFiles::giveBack(uint64_t before) {
  std::lock_guard giving(giving_);
  if (givenBack_.load() != before) return true;
  std::vector<std::string> names;
  {
    std::lock_guard lock(mutex_);
    for (auto& [directory, pool] : pools_) {
      for (auto& [size, name] : pool.files) names.push_back(std::move(name));
      pool.files.clear();
      pool.bytes = 0;
    }
  }
  if (names.empty()) return false;
  for (const std::string& name : names) ::unlink(name.c_str());
  ++givenBack_;
  return true;
}

RecycledFiles::Stats RecycledFiles::stats() const {
  std::lock_guard lock(mutex_);
  Stats all;
  all.taken = taken_;
  for (const auto& [directory, pool] : pools_) {
    all.bytes += pool.bytes;
    all.files += pool.files.size();
  }
  return all;
}

}  // namespace kafabric
