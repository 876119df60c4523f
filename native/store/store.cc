#include "store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "batch/crc32c.h"
#include "store/file_handle.h"

namespace kafabric {

namespace {

/** What fits in a processor's cache, so that the CRC reads it from there. */
constexpr size_t kCrcStepBytes = 256 * 1024;

int preallocate(int fd, uint64_t bytes) {
  int result = 0;
  while ((result = ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes))) != 0 && errno == EINTR) continue;
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return 0;
  return errno;
}

}  // namespace

Store::Store(const StoreOptions& options, Arena& arena)
    : options_(options),
      arena_(arena),
      subscription_(arena.subscribe([this] {
        std::lock_guard lock(memoryMutex_);
        ++freed_;
        memoryFreed_.notify_all();
      })),
      writers_(options.threads),
      syncers_(options.threads),
      readers_(options.threads) {}

Store::~Store() {
  stop();
  arena_.unsubscribe(subscription_);
}

void Store::stop() {
  {
    std::lock_guard lock(memoryMutex_);
    stopping_ = true;
    memoryFreed_.notify_all();
  }
  writers_.stop();
  syncers_.stop();
  readers_.stop();
}

std::shared_ptr<StoreFile> Store::open(const std::string& path, const OpenOptions& options, IoStatus& status) {
  int flags = O_CLOEXEC | (options.readOnly ? O_RDONLY : O_RDWR);
  bool created = false;
  int fd = ::open(path.c_str(), flags);
  if (fd < 0 && errno == ENOENT && options.create && !options.readOnly) {
    fd = ::open(path.c_str(), flags | O_CREAT | O_EXCL, 0644);
    created = fd >= 0;
  }
  if (fd < 0) {
    status = IoStatus::failure(errno, "cannot open", path);
    return nullptr;
  }
  auto handle = FileHandle::adopt(fd, path);
  struct stat info {};
  int error = ::fstat(fd, &info) != 0 ? errno : 0;
  if (error == 0 && !S_ISREG(info.st_mode)) error = EINVAL;
  bool reserve = options.preallocateBytes > static_cast<uint64_t>(info.st_size) && !options.readOnly;
  if (error == 0 && reserve) error = preallocate(fd, options.preallocateBytes);
  if (error != 0) {
    if (created) ::unlink(path.c_str());
    status = IoStatus::failure(error, "cannot open", path);
    return nullptr;
  }
  return std::make_shared<StoreFile>(*this, std::move(handle), static_cast<uint64_t>(info.st_size), created, reserve);
}

void Store::read(std::shared_ptr<StoreFile> file, uint64_t position, size_t length, bool withCrc, uint32_t seed,
                 std::function<void(ReadResult)> done) {
  Deadline deadline = std::chrono::steady_clock::now() + options_.memoryTimeout;
  auto task = [this, file, position, length, withCrc, seed, done, deadline] {
    done(readNow(*file, position, length, withCrc, seed, deadline));
  };
  if (!readers_.post(task)) done({{ESHUTDOWN, "the store is shut down: " + file->handle()->path()}, {}, 0, 0});
}

Store::ReadResult Store::readNow(const StoreFile& file, uint64_t position, size_t length, bool withCrc, uint32_t seed,
                                 Deadline deadline) {
  ReadResult result;
  uint64_t written = file.written();
  length = position >= written ? 0 : static_cast<size_t>(std::min<uint64_t>(length, written - position));
  result.crc = seed;
  result.memory = allocate(std::max<size_t>(length, 1), deadline, result.status);
  if (!result.memory) return result;
  int fd = file.handle()->fd();
  while (result.length < length) {
    size_t step = withCrc ? std::min(kCrcStepBytes, length - result.length) : length;
    uint8_t* target = result.memory.data() + result.length;
    size_t got = 0;
    int error = readFully(fd, target, step, position + result.length, got);
    if (error != 0) {
      result.status = IoStatus::failure(error, "cannot read", file.handle()->path());
      result.memory.reset();
      return result;
    }
    if (withCrc) result.crc = crc32c(result.crc, target, got);
    result.length += got;
    if (got < step) break;  // truncated meanwhile
  }
  ++counters_.reads;
  counters_.bytesRead += result.length;
  return result;
}

MemoryRef Store::allocate(size_t length, Deadline deadline, IoStatus& status) {
  if (length > arena_.capacity()) {
    status = {ENOMEM, "a read of " + std::to_string(length) + " bytes is larger than the arena"};
    return {};
  }
  bool waited = false;
  for (;;) {
    uint64_t seen = 0;
    {
      std::lock_guard lock(memoryMutex_);
      seen = freed_;
    }
    MemoryRef memory = arena_.allocate(length);
    if (memory) return memory;
    if (!waited) ++counters_.memoryWaits;
    waited = true;
    std::unique_lock lock(memoryMutex_);
    if (stopping_ || !memoryFreed_.wait_until(lock, deadline, [&] { return stopping_ || freed_ != seen; }) || stopping_) {
      status = {stopping_ ? ESHUTDOWN : ETIMEDOUT,
                "no room in the arena for a read of " + std::to_string(length) + " bytes"};
      return {};
    }
  }
}

}  // namespace kafabric
