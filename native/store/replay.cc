// The second life of a journal: writing what a killed process had acknowledged.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "store/descriptor.h"
#include "store/journal_region.h"

namespace kafabric {

namespace {

constexpr size_t kCopyBytes = size_t{1} << 20;
constexpr std::chrono::milliseconds kOwnerWait{10};
constexpr int kOwnerWaits = 500;

/** One live entry, checked. */
struct Piece {
  uint64_t position;
  uint64_t offset;
  uint64_t length;
  uint32_t entry;
};

struct Target {
  std::string path;
  FileIdentity identity;
  std::vector<Piece> pieces;
};

/**
 * For a file that is not there: whether its file system is not there either, as the first of the directories above it that is there lies on
 * another. Of a topic that was deleted the data directory is where it was.
 */
bool isAway(const Target& target) {
  struct stat found;
  std::string path = target.path;
  do {
    path = parentOf(path);
  } while (::stat(path.c_str(), &found) != 0 && path.size() > 1);
  return found.st_dev != target.identity.device;
}

/** What a target's path leads to. */
enum class Found { same, another, away, unknown };

/** `file`: open, or negative. */
Found identify(const Target& target, int file) {
  if (file < 0) return isAway(target) ? Found::away : Found::another;
  struct stat found;
  if (::fstat(file, &found) != 0) return Found::unknown;
  const FileIdentity& identity = target.identity;
  uint64_t birthNs = birthOf(file);
  bool onDevice = found.st_dev == identity.device;
  bool sameBirth = identity.birthNs != 0 && birthNs != 0 ? birthNs == identity.birthNs : onDevice;
  if (S_ISREG(found.st_mode) && found.st_ino == identity.inode && sameBirth) return Found::same;
  return onDevice ? Found::another : Found::away;
}

/** What a dead process has left: read with pread, not mapped, because touching a hole of a full tmpfs would be fatal. */
class Remains {
 public:
  explicit Remains(std::string path) : path_(std::move(path)), file_(::open(path_.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) {}

  /** Locked, so that its owner is dead. */
  bool claim() { return ::flock(file_.fd, LOCK_EX | LOCK_NB) == 0; }
  /** Still there: neither its owner nor another replay has removed it. */
  bool exists() const {
    struct stat status;
    return file_.fd >= 0 && ::fstat(file_.fd, &status) == 0 && status.st_nlink > 0;
  }

  /** Reads and checks everything. A problem, or an empty string. */
  std::string load();
  /** As `load`, but for a journal that the header says to be empty: it is megabytes. */
  std::string loadIfPending();

  /** Writes everything to its file, but for files that are away. */
  bool write(ReplayReport& report, IoStatus& status);
  /** Removes it, or what was written or is gone of it where files are away. */
  void finish(ReplayReport& report, IoStatus& status);
  void remove() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }
  uint64_t createdNs() const { return createdNs_; }
  /** When it was made, or changed last before it was complete. */
  std::chrono::system_clock::time_point madeAt() const;
  /** After `load`. */
  AbandonedMemory describe() const;

 private:
  std::string refuse(const std::string& why) const { return path_ + " is not usable: " + why; }
  std::string loadHeader(bool& complete);
  std::string loadJournal();
  std::string collect(const JournalRegion& region);
  std::string targetOf(const JournalRegion& region, uint32_t index, Target*& target);
  int copy(const Piece& piece, int target);
  int writeTo(int file, const Target& target, ReplayReport& report);
  int forget();
  void freeUnused();

  std::string path_;
  Descriptor file_;
  uint64_t createdNs_ = 0;
  uint64_t dataBytes_ = 0;
  uint64_t pending_ = 0;
  std::map<uint32_t, Target> targets_;  // by index in the journal
  std::vector<uint32_t> done_;          // entries that were written, or are of files that are gone
  std::vector<uint8_t> buffer_;
};

std::string Remains::loadHeader(bool& complete) {
  struct stat status;
  if (::fstat(file_.fd, &status) != 0) return refuse("it cannot be examined");
  // Its paths are written to with this process's rights: only what this user alone could have made is believed.
  bool own = S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 077) == 0;
  if (!own) return refuse("others may have written it");
  alignas(SharedHeader) uint8_t bytes[sizeof(SharedHeader)] = {};
  size_t got = 0;
  if (readFully(file_.fd, bytes, sizeof(bytes), 0, got) != 0) return refuse("it cannot be read");
  const auto& header = *reinterpret_cast<const SharedHeader*>(bytes);
  uint64_t magic = header.magic.load(std::memory_order_relaxed);
  complete = magic != 0;
  if (!complete) return {};
  if (magic != SharedHeader::kMagic) return refuse("it does not begin as shared memory of this program does");
  if (header.version != SharedHeader::kVersion) {
    return refuse("it is of another version of Kafabric (its layout is " + std::to_string(header.version) +
                  "), which writes what is in it when it is started once more");
  }
  createdNs_ = header.createdNs;
  dataBytes_ = header.dataBytes;
  pending_ = header.pending.load(std::memory_order_relaxed) & ~SharedHeader::kClosed;
  bool sizesMatch = header.journalOffset == SharedFile::kJournalOffset && header.journalBytes == SharedFile::kJournalBytes &&
                    header.dataOffset == SharedFile::kDataOffset &&
                    static_cast<uint64_t>(status.st_size) >= SharedFile::kDataOffset &&
                    dataBytes_ == static_cast<uint64_t>(status.st_size) - SharedFile::kDataOffset;
  return sizesMatch ? std::string() : refuse("its sizes do not match");
}

std::string Remains::load() {
  bool complete = false;
  std::string problem = loadHeader(complete);
  // A process that died while it made the file has acknowledged nothing from it.
  return !problem.empty() || !complete ? problem : loadJournal();
}

std::string Remains::loadIfPending() {
  bool complete = false;
  std::string problem = loadHeader(complete);
  return !problem.empty() || !complete || pending_ == 0 ? problem : loadJournal();
}

std::string Remains::loadJournal() {
  auto region = std::make_unique<uint64_t[]>(sizeof(JournalRegion) / sizeof(uint64_t));
  size_t got = 0;
  auto* bytes = reinterpret_cast<uint8_t*>(region.get());
  int error = readFully(file_.fd, bytes, sizeof(JournalRegion), SharedFile::kJournalOffset, got);
  if (error != 0 || got != sizeof(JournalRegion)) return refuse("its journal cannot be read");
  return collect(*reinterpret_cast<const JournalRegion*>(bytes));
}

std::string Remains::collect(const JournalRegion& region) {
  for (uint32_t i = 0; i < Journal::kMaxEntries; ++i) {
    const JournalEntry& entry = region.entries[i];
    uint32_t state = entry.state.load(std::memory_order_relaxed);
    if (state == kJournalFree) continue;
    std::string name = "entry " + std::to_string(i);
    if (state != kJournalLive) return refuse(name + " has state " + std::to_string(state));
    if (entry.offset > dataBytes_ || entry.length > dataBytes_ - entry.offset) return refuse(name + " is not inside the memory");
    if (entry.position > static_cast<uint64_t>(INT64_MAX) - entry.length) return refuse(name + " has no possible position");
    Target* target = nullptr;
    std::string problem = targetOf(region, entry.file, target);
    if (!problem.empty()) return refuse(name + problem);
    target->pieces.push_back({entry.position, entry.offset, entry.length, i});
  }
  for (auto& [index, target] : targets_) {
    std::sort(target.pieces.begin(), target.pieces.end(), [](const Piece& a, const Piece& b) { return a.position < b.position; });
  }
  return {};
}

std::string Remains::targetOf(const JournalRegion& region, uint32_t index, Target*& target) {
  auto known = targets_.find(index);
  if (known != targets_.end()) {
    target = &known->second;
    return {};
  }
  if (index >= Journal::kMaxFiles) return " names file " + std::to_string(index);
  const JournalFile& file = region.files[index];
  bool terminated = file.pathBytes <= Journal::kMaxPathBytes && ::strnlen(file.path, sizeof(file.path)) == file.pathBytes;
  if (file.state.load(std::memory_order_relaxed) != kJournalLive || !terminated || file.path[0] != '/') {
    return " belongs to file " + std::to_string(index) + ", which is not valid";
  }
  target = &targets_[index];
  *target = {std::string(file.path, file.pathBytes), file.identity, {}};
  return {};
}

/** An errno value, or 0. */
int Remains::copy(const Piece& piece, int target) {
  buffer_.resize(kCopyBytes);
  for (uint64_t done = 0; done < piece.length;) {
    size_t wanted = std::min<uint64_t>(buffer_.size(), piece.length - done);
    size_t got = 0;
    int error = readFully(file_.fd, buffer_.data(), wanted, SharedFile::kDataOffset + piece.offset + done, got);
    if (error == 0 && got != wanted) error = EIO;
    std::vector<iovec> parts{{buffer_.data(), wanted}};
    size_t written = 0;
    if (error == 0) error = writeFully(target, parts, piece.position + done, written);
    if (error != 0) return error;
    done += wanted;
  }
  return 0;
}

std::chrono::system_clock::time_point Remains::madeAt() const {
  struct stat status {};
  ::fstat(file_.fd, &status);
  auto nanoseconds = std::chrono::nanoseconds(createdNs_);
  if (createdNs_ == 0) nanoseconds = std::chrono::seconds(status.st_mtim.tv_sec);
  return std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(nanoseconds));
}

AbandonedMemory Remains::describe() const {
  struct stat status {};
  ::fstat(file_.fd, &status);
  AbandonedMemory found{path_, static_cast<uint64_t>(status.st_blocks) * 512, 0, {}, false};
  for (const auto& [index, target] : targets_) {
    found.entries += target.pieces.size();
    found.file = target.path;
  }
  return found;
}

bool Remains::write(ReplayReport& report, IoStatus& status) {
  for (auto next = targets_.begin(); next != targets_.end();) {
    const Target& target = next->second;
    Descriptor file(::open(target.path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    Found found = Found::unknown;
    if (file.fd >= 0 || errno == ENOENT || errno == ENOTDIR) found = identify(target, file.fd);
    if (found == Found::unknown) {
      status = IoStatus::failure(errno, "cannot open", target.path);
      return false;
    }
    if (found == Found::away) {
      ++report.keptFiles;
      ++next;
      continue;
    }
    int error = found == Found::same ? writeTo(file.fd, target, report) : 0;
    if (error != 0) {
      status = IoStatus::failure(error, "cannot write what was acknowledged to", target.path);
      return false;
    }
    if (found == Found::another) ++report.skippedFiles;
    for (const Piece& piece : target.pieces) done_.push_back(piece.entry);
    next = targets_.erase(next);
  }
  return true;
}

/** Durably; an errno value, or 0. */
int Remains::writeTo(int file, const Target& target, ReplayReport& report) {
  uint64_t bytes = 0;
  for (const Piece& piece : target.pieces) {
    if (int error = copy(piece, file)) return error;
    bytes += piece.length;
  }
  while (::fdatasync(file) != 0) {
    if (errno != EINTR) return errno;
  }
  ++report.files;
  report.entries += target.pieces.size();
  report.bytes += bytes;
  return 0;
}

void Remains::finish(ReplayReport& report, IoStatus& status) {
  if (targets_.empty()) return remove();
  // A later replay must not write them again, over what these files have by then.
  int error = forget();
  if (error != 0) status = IoStatus::failure(error, "cannot keep acknowledged records of files that are away in", path_);
  else freeUnused();
  report.kept.push_back(path_);
}

/** Ends the entries that are done; an errno value, or 0. Mapped, as huge pages take no writes: their pages are there. */
int Remains::forget() {
  void* map = ::mmap(nullptr, SharedFile::kDataOffset, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_.fd, 0);
  if (map == MAP_FAILED) return errno;
  auto* region = reinterpret_cast<JournalRegion*>(static_cast<uint8_t*>(map) + SharedFile::kJournalOffset);
  for (uint32_t entry : done_) region->entries[entry].state.store(kJournalFree, std::memory_order_relaxed);
  ::munmap(map, SharedFile::kDataOffset);
  return 0;
}

/** Gives back the memory between what is kept: it may be nearly all that the machine has. */
void Remains::freeUnused() {
  std::map<uint64_t, uint64_t> kept{{dataBytes_, 0}};
  for (const auto& [index, target] : targets_)
    for (const Piece& piece : target.pieces) kept[piece.offset] = std::max(kept[piece.offset], piece.length);
  uint64_t at = 0;
  for (const auto& [offset, length] : kept) {
    if (offset > at)
      ::fallocate(file_.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(SharedFile::kDataOffset + at),
                  static_cast<off_t>(offset - at));
    at = std::max(at, offset + length);
  }
}

}  // namespace

ReplayReport replayJournals(const SharedPlace& place, const std::string& own, IoStatus& status) {
  status = {};
  ReplayReport report;
  std::vector<std::unique_ptr<Remains>> all;
  int waits = kOwnerWaits;
  for (const std::string& path : sharedFilesOf(place)) {
    if (path == own) continue;
    auto remains = std::make_unique<Remains>(path);
    bool claimed = false;
    // A dying process closes its files one by one: the lock on its data directory may be free before this one is.
    while (remains->exists() && !(claimed = remains->claim()) && waits-- > 0) std::this_thread::sleep_for(kOwnerWait);
    if (!remains->exists()) continue;
    if (!claimed) {
      ++report.inUse;
      continue;
    }
    std::string problem = remains->load();
    if (problem.empty()) all.push_back(std::move(remains));
    else report.problems.push_back(std::move(problem));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->createdNs() < b->createdNs(); });
  for (const auto& remains : all) {
    if (!remains->write(report, status)) break;
    remains->finish(report, status);
    if (!status.ok()) break;
  }
  return report;
}

std::vector<AbandonedMemory> findAbandoned(const SharedPlace& place, std::chrono::seconds age, bool remove) {
  std::vector<AbandonedMemory> abandoned;
  for (const std::string& path : sharedFilesOf(place)) {
    if (!isSharedFileName(path)) continue;
    Remains remains(path);
    // Replays wait for who has it locked for so short a time.
    if (!remains.exists() || !remains.claim() || !remains.exists() || !remains.loadIfPending().empty()) continue;
    if (std::chrono::system_clock::now() - remains.madeAt() < age) continue;
    AbandonedMemory found = remains.describe();
    found.removed = remove && found.entries == 0;
    if (found.removed) remains.remove();
    abandoned.push_back(std::move(found));
  }
  return abandoned;
}

}  // namespace kafabric
