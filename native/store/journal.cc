#include "store/journal.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "store/journal_region.h"

namespace kafabric {

// The stack's low half is the slot on top plus one, 0 when it is empty.
FreeSlots::FreeSlots(uint32_t count) : next_(new std::atomic<uint32_t>[count]) {
  for (uint32_t slot = 0; slot < count; ++slot) next_[slot].store(slot + 1 < count ? slot + 2 : 0, std::memory_order_relaxed);
  top_ = count > 0 ? 1 : 0;
}

uint32_t FreeSlots::take() noexcept {
  uint64_t top = top_.load(std::memory_order_acquire);
  for (;;) {
    auto first = static_cast<uint32_t>(top);
    if (first == 0) return kNone;
    uint64_t below = next_[first - 1].load(std::memory_order_relaxed);
    uint64_t changed = ((top >> 32) + 1) << 32 | below;
    if (top_.compare_exchange_weak(top, changed, std::memory_order_acq_rel, std::memory_order_acquire)) return first - 1;
  }
}

void FreeSlots::give(uint32_t slot) noexcept {
  uint64_t top = top_.load(std::memory_order_relaxed);
  for (;;) {
    next_[slot].store(static_cast<uint32_t>(top), std::memory_order_relaxed);
    uint64_t changed = ((top >> 32) + 1) << 32 | (slot + 1);
    if (top_.compare_exchange_weak(top, changed, std::memory_order_acq_rel, std::memory_order_relaxed)) return;
  }
}

std::shared_ptr<Journal> Journal::of(Arena& arena) {
  static std::mutex mutex;
  static auto* journals = new std::map<Arena*, std::weak_ptr<Journal>>;  // never destroyed, as the process's arena
  if (!arena.shared()) return nullptr;
  std::lock_guard lock(mutex);
  std::weak_ptr<Journal>& known = (*journals)[&arena];
  std::shared_ptr<Journal> journal = known.lock();
  if (!journal) known = journal = std::make_shared<Journal>(arena);
  return journal;
}

Journal::Journal(Arena& arena)
    : shared_(*arena.sharedFile()),
      region_(*reinterpret_cast<JournalRegion*>(shared_.journal())),
      base_(arena.base()) {
  if (shared_.pending() > 0) keepLive();
}

void Journal::keepLive() {
  std::vector<uint32_t> free;
  for (uint32_t slot = entries_.take(); slot != kNone; slot = entries_.take()) {
    const JournalEntry& entry = region_.entries[slot];
    if (entry.state.load(std::memory_order_relaxed) == kJournalFree) {
      free.push_back(slot);
    } else {
      ++live_;
      bytes_ += entry.length;
    }
  }
  for (; !free.empty(); free.pop_back()) entries_.give(free.back());
  for (uint32_t slot = files_.take(); slot != kNone; slot = files_.take()) {
    if (region_.files[slot].state.load(std::memory_order_relaxed) == kJournalFree) free.push_back(slot);
    else abandoned_.insert(slot);
  }
  for (; !free.empty(); free.pop_back()) files_.give(free.back());
  peak_ = live_.load();
}

uint32_t Journal::addFile(const std::string& path, const FileIdentity& identity) noexcept {
  uint32_t index = path[0] != '/' || path.size() > kMaxPathBytes ? kNone : files_.take();
  if (index == kNone) {
    ++refusals_;
    return kNone;
  }
  JournalFile& file = region_.files[index];
  file.pathBytes = static_cast<uint32_t>(path.size());
  file.identity = identity;
  std::memcpy(file.path, path.c_str(), path.size() + 1);
  file.state.store(kJournalLive, std::memory_order_release);
  return index;
}

void Journal::removeFile(uint32_t file) noexcept {
  region_.files[file].state.store(kJournalFree, std::memory_order_release);
  files_.give(file);
}

void Journal::abandonFile(uint32_t file) {
  std::lock_guard lock(abandonedMutex_);
  abandoned_.insert(file);
}

bool Journal::abandoned(const std::string& path, uint64_t device, uint64_t inode) const {
  std::lock_guard lock(abandonedMutex_);
  return std::any_of(abandoned_.begin(), abandoned_.end(), [&](uint32_t index) {
    const JournalFile& file = region_.files[index];
    return file.identity.device == device && file.identity.inode == inode && path == file.path;
  });
}

bool Journal::abandoned(uint64_t device, uint64_t inode) const {
  std::lock_guard lock(abandonedMutex_);
  return std::any_of(abandoned_.begin(), abandoned_.end(), [&](uint32_t index) {
    const FileIdentity& identity = region_.files[index].identity;
    return identity.device == device && identity.inode == inode;
  });
}

uint32_t Journal::add(uint32_t file, uint64_t position, const uint8_t* bytes, size_t length) noexcept {
  bool begun = shared_.beginEntry();
  uint32_t index = begun ? entries_.take() : kNone;
  if (index == kNone) {
    if (begun) shared_.endEntry();
    ++refusals_;
    return kNone;
  }
  JournalEntry& entry = region_.entries[index];
  entry.file = file;
  entry.position = position;
  entry.offset = static_cast<uint64_t>(bytes - base_);
  entry.length = length;
  entry.state.store(kJournalLive, std::memory_order_release);
  bytes_.fetch_add(length, std::memory_order_relaxed);
  uint64_t live = live_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (live > peak_.load(std::memory_order_relaxed)) peak_.store(live, std::memory_order_relaxed);
  return index;
}

void Journal::remove(uint32_t index) noexcept {
  JournalEntry& entry = region_.entries[index];
  bytes_.fetch_sub(entry.length, std::memory_order_relaxed);
  live_.fetch_sub(1, std::memory_order_relaxed);
  entry.state.store(kJournalFree, std::memory_order_release);
  entries_.give(index);
  shared_.endEntry();
}

Journal::Stats Journal::stats() const { return {live_, bytes_, peak_, refusals_}; }

}  // namespace kafabric
