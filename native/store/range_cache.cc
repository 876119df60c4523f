#include "store/range_cache.h"

#include <algorithm>
#include <cstring>

namespace kafabric {

namespace {

constexpr size_t kFirstStagingBytes = 4096;
constexpr size_t kMaxStagingBytes = 256 << 10;

}  // namespace

std::shared_ptr<RangeCache> RangeCache::of(Arena& arena) {
  static std::mutex mutex;
  static auto* caches = new std::map<Arena*, std::weak_ptr<RangeCache>>;  // never destroyed, as the process's arena
  std::lock_guard lock(mutex);
  std::weak_ptr<RangeCache>& known = (*caches)[&arena];
  std::shared_ptr<RangeCache> cache = known.lock();
  if (!cache) known = cache = std::shared_ptr<RangeCache>(new RangeCache(arena));
  return cache;
}

RangeCache::RangeCache(Arena& arena) : arena_(arena) {
  arena_.setReclaimer([this](size_t bytes) { return reclaim(bytes); });
}

RangeCache::~RangeCache() { arena_.setReclaimer({}); }

MemoryPiece RangeCache::addCopy(File& file, uint64_t position, const uint8_t* bytes, size_t length) {
  std::vector<MemoryRef> freed;
  size_t size = 0;
  {
    std::lock_guard lock(mutex_);
    cutLocked(file, position, freed);
    if (file.staging && length <= file.stagingBytes - file.stagingUsed) {
      uint8_t* target = file.staging.data() + file.stagingUsed;
      std::memcpy(target, bytes, length);
      file.stagingUsed += length;
      MemoryPiece piece{file.staging, target, length};
      insertLocked(file, position, piece, true);
      return piece;
    }
    size = std::max(length, std::clamp(2 * file.stagingBytes, kFirstStagingBytes, kMaxStagingBytes));
  }
  // Not under the lock: the arena may ask for ranges back.
  MemoryRef memory = arena_.allocate(size);
  if (!memory && size > length) memory = arena_.allocate(size = length);
  if (!memory) return {};
  std::memcpy(memory.data(), bytes, length);
  MemoryPiece piece{memory, memory.data(), length};
  std::lock_guard lock(mutex_);
  cutLocked(file, position, freed);  // what was read may have come in meanwhile
  if (file.staging) freed.push_back(std::move(file.staging));
  file.staging = std::move(memory);
  file.stagingUsed = length;
  file.stagingBytes = size;
  insertLocked(file, position, piece, true);
  return piece;
}

void RangeCache::addAppended(File& file, uint64_t position, const MemoryPiece& piece) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  cutLocked(file, position, freed);
  insertLocked(file, position, piece, true);
}

void RangeCache::addRead(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts) {
  std::lock_guard lock(mutex_);
  if (file.cuts != cuts) return;
  auto next = file.ranges.lower_bound(position);
  bool overlaps = next != file.ranges.end() && next->first < position + piece.length;
  if (next != file.ranges.begin()) overlaps |= std::prev(next)->second.end() > position;
  if (!overlaps) insertLocked(file, position, piece, false);
}

void RangeCache::addChecked(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  if (file.cuts != cuts || piece.length == 0) return;
  uint64_t end = position + piece.length;
  auto first = file.ranges.upper_bound(position);
  if (first != file.ranges.begin() && std::prev(first)->second.end() > position) --first;
  for (auto next = first; next != file.ranges.end() && next->first < end; ++next)
    if (next->second.appended) return;
  while (first != file.ranges.end() && first->first < end) eraseBetweenLocked((first++)->second, position, end, freed);
  insertLocked(file, position, piece, false);
  file.ranges.at(position).checked = true;
}

/** What lies before and behind stays. */
void RangeCache::eraseBetweenLocked(Range& range, uint64_t from, uint64_t to, std::vector<MemoryRef>& freed) {
  if (range.end() > to) {
    auto skip = static_cast<size_t>(to - range.position);
    insertLocked(*range.file, to, {range.piece.memory, range.piece.bytes + skip, range.piece.length - skip}, false);
    range.file->ranges.at(to).checked = range.checked;
    stats_.bytes -= range.piece.length - skip;
    range.piece.length = skip;
  }
  if (range.position >= from) {
    eraseLocked(range, freed);
    return;
  }
  stats_.bytes -= range.end() - from;
  range.piece.length = static_cast<size_t>(from - range.position);
}

uint64_t RangeCache::cutsOf(File& file) {
  std::lock_guard lock(mutex_);
  return file.cuts;
}

void RangeCache::insertLocked(File& file, uint64_t position, const MemoryPiece& piece, bool appended) {
  if (piece.length == 0) return;
  stats_.bytes += piece.length;
  if (appended && !file.ranges.empty()) {
    Range& last = file.ranges.rbegin()->second;
    bool continues = last.appended && last.end() == position && last.piece.bytes + last.piece.length == piece.bytes &&
                     last.piece.memory.handle() == piece.memory.handle();
    if (continues) {
      last.piece.length += piece.length;
      return;
    }
  }
  Range& range = file.ranges.emplace(position, Range{&file, position, piece, appended, appended}).first->second;
  Ages& ages = agesOf(range);
  range.older = ages.newest;
  (ages.newest ? ages.newest->newer : ages.oldest) = &range;
  ages.newest = &range;
}

void RangeCache::eraseLocked(Range& range, std::vector<MemoryRef>& freed) {
  stats_.bytes -= range.piece.length;
  Ages& ages = agesOf(range);
  (range.older ? range.older->newer : ages.oldest) = range.newer;
  (range.newer ? range.newer->older : ages.newest) = range.older;
  File& file = *range.file;
  if (file.staging && file.staging.handle() == range.piece.memory.handle()) {
    freed.push_back(std::move(file.staging));
    file.stagingBytes = 0;
  }
  freed.push_back(std::move(range.piece.memory));
  file.ranges.erase(file.ranges.find(range.position));
}

RangeCache::Found RangeCache::find(File& file, uint64_t position, size_t length) {
  std::lock_guard lock(mutex_);
  auto next = file.ranges.upper_bound(position);
  if (next != file.ranges.begin()) {
    const Range& range = std::prev(next)->second;
    if (range.end() > position) {
      auto skip = static_cast<size_t>(position - range.position);
      size_t found = std::min(length, range.piece.length - skip);
      return {{range.piece.memory, range.piece.bytes + skip, found}, range.appended, range.checked, 0};
    }
  }
  uint64_t gapEnd = next == file.ranges.end() ? position + length : next->first;
  return {{}, false, false, static_cast<size_t>(std::min<uint64_t>(length, gapEnd - position))};
}

void RangeCache::count(uint64_t hitBytes, uint64_t missBytes) {
  std::lock_guard lock(mutex_);
  stats_.hitBytes += hitBytes;
  stats_.missBytes += missBytes;
}

void RangeCache::cut(File& file, uint64_t size) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  ++file.cuts;
  if (file.staging) freed.push_back(std::move(file.staging));
  file.stagingBytes = 0;
  cutLocked(file, size, freed);
}

void RangeCache::cutLocked(File& file, uint64_t size, std::vector<MemoryRef>& freed) {
  while (!file.ranges.empty() && file.ranges.rbegin()->second.position >= size)
    eraseLocked(file.ranges.rbegin()->second, freed);
  if (file.ranges.empty() || file.ranges.rbegin()->second.end() <= size) return;
  Range& last = file.ranges.rbegin()->second;
  stats_.bytes -= last.end() - size;
  last.piece.length = static_cast<size_t>(size - last.position);
}

void RangeCache::cutRead(File& file, uint64_t size) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  ++file.cuts;
  for (auto next = file.ranges.begin(); next != file.ranges.end();) {
    Range& range = (next++)->second;
    if (!range.appended && range.end() > size) eraseLocked(range, freed);
  }
}

RangeCache::Stats RangeCache::stats() {
  std::lock_guard lock(mutex_);
  return stats_;
}

bool RangeCache::reclaim(size_t bytes) {
  std::vector<MemoryRef> freed;  // goes when the lock is gone
  std::lock_guard lock(mutex_);
  size_t reclaimed = 0;
  for (Ages* ages : {&read_, &appended_}) {
    for (Range* range = ages->oldest; range && reclaimed < bytes;) {
      Range* next = range->newer;
      if (range->end() <= range->file->written.load(std::memory_order_acquire)) {
        reclaimed += range->piece.length;
        eraseLocked(*range, freed);
      }
      range = next;
    }
  }
  return !freed.empty();
}

}  // namespace kafabric
