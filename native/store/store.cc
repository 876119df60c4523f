#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "store/file_copy.h"
#include "store/file_handle.h"
#include "store/owed_part.h"

namespace kafabric {

namespace {

/** What is read for a reply comes in pieces that are easy to find room for. */
constexpr size_t kReplyPieceBytes = 4 << 20;
/** This part of the arena may hold what was acknowledged and waits to be written. */
constexpr size_t kAcknowledgedShare = 4;

bool isUnsupported(int error) { return error == EOPNOTSUPP || error == ENOSYS; }

/** Of a file of `size` bytes; 0 or an errno value. */
int allocateOrNothing(int fd, off_t size, uint64_t bytes) {
  int error = allocateFully(fd, 0, 0, bytes);
  // A disk that gets full may have given a part.
  return error != 0 && ::ftruncate(fd, size) != 0 ? errno : error;
}

}  // namespace

Store::Store(const StoreOptions& options, Arena& arena)
    : options_(options),
      arena_(arena),
      cache_(RangeCache::of(arena)),
      journal_(Journal::of(arena)),
      recycled_([journal = journal_.get()](dev_t device, ino_t inode) { return journal && journal->abandoned(device, inode); }),
      preparer_(recycled_),
      writeBehind_(options.writeDelay),
      writers_(options.threads),
      syncers_(options.threads),
      readers_(options.threads),
      copiers_(options.copyThreads > 0 ? std::make_unique<ThreadPool>(options.copyThreads) : nullptr),
      reader_(*this, arena) {}

IoStatus Store::makeDirectory(const std::string& path) {
  int error = recycled_.withSpace([&] {
    std::error_code failure;
    std::filesystem::create_directories(path, failure);
    return failure.value();
  });
  return error == 0 ? IoStatus{} : IoStatus::failure(error, "cannot make", path);
}

IoStatus Store::rename(const std::string& from, const std::string& to) {
  int error = recycled_.withSpace([&] { return ::rename(from.c_str(), to.c_str()) != 0 ? errno : 0; });
  return error == 0 ? IoStatus{} : IoStatus::failure(error, "cannot rename", from);
}

IoStatus Store::replace(const std::string& path, const uint8_t* bytes, size_t length) {
  IoStatus status;
  recycled_.withSpace([&] {
    status = writeAtomically(path, bytes, length);
    return status.error;
  });
  return status;
}

IoStatus Store::copy(const std::string& from, const std::string& to, uint64_t position, uint64_t length, uint64_t& copied) {
  IoStatus status;
  recycled_.withSpace([&] {
    status = copyRange(from, to, position, length, options_.direct, copied, &clientIo_);
    return status.error;
  });
  return status;
}

IoStatus Store::publish(const std::string& from, const std::string& copy, const std::string& to) {
  IoStatus status;
  // Not tried again: a flush that failed may have dropped what it could not write. Who makes a new copy has the space.
  recycled_.withSpace([&] {
    if (status.ok()) status = publishCopy(from, copy, to);
    return status.error;
  });
  return status;
}

IoStatus Store::punch(const std::string& path, const std::vector<FileRange>& ranges, Punched& punched) {
  // Known to be open: its space is not used for another file meanwhile, whoever removes it.
  auto opening = recycled_.opening();
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return IoStatus::failure(errno, "cannot open", path);
  auto handle = FileHandle::adopt(fd, path, 0);
  opening.unlock();
  if (!OwedPart::mayMakeHoles(handle->device(), handle->inode())) return IoStatus::failure(EBUSY, "parts wait to be sent of", path);
  IoStatus status;
  recycled_.withSpace([&] {
    status = punchHoles(fd, path, ranges, punched);
    return status.error;
  });
  return status;
}

Store::~Store() { stop(); }

void Store::stop() {
  preparer_.stop();
  reader_.stop();
  writeBehind_.stop();
  writers_.stop();
  syncers_.stop();
  readers_.stop();
  if (copiers_) copiers_->stop();
  removers_.stop();
}

void Store::queued(int64_t bytes) {
  counters_.queuedBytes += static_cast<uint64_t>(bytes);
  cache_->waiting(bytes);
}

bool Store::mayAcknowledge() const { return counters_.queuedBytes.load() <= arena_.capacity() / kAcknowledgedShare; }

Store::Opened Store::openByName(const std::string& path, const OpenOptions& options) {
  int flags = O_CLOEXEC | (options.readOnly ? O_RDONLY : O_RDWR);
  int fd = ::open(path.c_str(), flags);
  if (fd >= 0 || errno != ENOENT || !options.create || options.readOnly) return {fd, false, 0};
  uint64_t recycledBytes = options.recycledBytes > 0 ? recycled_.take(path, options.recycledBytes) : 0;
  int error = recycled_.withSpace([&] {
    fd = ::open(path.c_str(), recycledBytes > 0 ? flags : flags | O_CREAT | O_EXCL, 0644);
    return fd < 0 ? errno : 0;
  });
  if (fd < 0 && recycledBytes > 0) ::unlink(path.c_str());
  errno = error;
  return {fd, fd >= 0, recycledBytes};
}

std::shared_ptr<StoreFile> Store::open(const std::string& path, const OpenOptions& options, IoStatus& status) {
  auto opening = recycled_.opening();
  auto [fd, created, recycledBytes] = openByName(path, options);
  if (fd < 0) {
    status = IoStatus::failure(errno, "cannot open", path);
    return nullptr;
  }
  Persistence persistence = options.readOnly ? Persistence::none : persistent_.of(path);
  bool direct = options_.direct && persistence == Persistence::none;
  auto handle = FileHandle::adopt(fd, path, direct ? enableDirect(fd, path) : 0);
  opening.unlock();
  struct stat info {};
  int error = ::fstat(fd, &info) != 0 ? errno : 0;
  if (error == 0 && !S_ISREG(info.st_mode)) error = EINVAL;
  uint64_t size = recycledBytes > 0 ? 0 : static_cast<uint64_t>(info.st_size);
  bool abandoned = error == 0 && journal_ && !options.readOnly && journal_->abandoned(path, info.st_dev, info.st_ino);
  bool reserve = options.preallocateBytes > size && !options.readOnly;
  auto preallocate = [&, fd = fd] { return allocateFully(fd, FALLOC_FL_KEEP_SIZE, 0, options.preallocateBytes); };
  if (error == 0 && reserve && !abandoned) error = recycled_.withSpace(preallocate);
  // The file has no space then, and appends may yet find none.
  if (isUnsupported(error)) {
    reserve = false;
    error = 0;
  }
  if (error != 0 || abandoned) {
    if (created) ::unlink(path.c_str());
    status = IoStatus::failure(error, "cannot open", path);
    if (abandoned) status = {EIO, "what was acknowledged for " + path + " could not be written, and will be at the next start"};
    return nullptr;
  }
  uint64_t allocated = std::max(reserve ? options.preallocateBytes : size, recycledBytes);
  bool ahead = created && options.aheadBytes > allocated && handle->blockBytes() > 0;
  auto allocateAhead = [&, fd = fd] { return allocateOrNothing(fd, info.st_size, options.aheadBytes); };
  if (ahead && recycled_.withSpace(allocateAhead) == 0) allocated = options.aheadBytes;
  StoreFile::Space space{allocated, options.recycledBytes};
  return std::make_shared<StoreFile>(*this, std::move(handle), size, space, created, persistence);
}

void Store::read(std::shared_ptr<StoreFile> file, std::vector<ReadRange> ranges, RangeReads::Done done) {
  auto deadline = std::chrono::steady_clock::now() + options_.memoryTimeout;
  std::make_shared<RangeReads>(*this, std::move(file), std::move(ranges), deadline, std::move(done))->start();
}

void Store::readPieces(std::shared_ptr<StoreFile> file, uint64_t position, size_t length,
                       std::function<void(ReadPieces)> done) {
  auto deadline = std::chrono::steady_clock::now() + options_.memoryTimeout;
  auto task = [this, file, position, length, done, deadline] {
    done(reader_.readFew(file, position, length, kReplyPieceBytes, deadline));
  };
  if (!readers_.post(task)) done({{ESHUTDOWN, "the store is shut down: " + file->handle()->path()}, {}, 0});
}

}  // namespace kafabric
