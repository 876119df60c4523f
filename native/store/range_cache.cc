#include "store/range_cache.h"

#include <algorithm>
#include <cstring>

namespace kafabric {

namespace {

constexpr size_t kFirstStagingBytes = 4096;
constexpr size_t kMaxStagingBytes = 256 << 10;
/** What is read ahead does not come in in order. */
constexpr uint64_t kNearBytes = 4 << 20;

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
  arena_.setReclaimer([this](size_t bytes) {
    arena_.want(needed());
    return reclaim(bytes);
  });
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
      insertLocked(file, position, piece, Source::appended);
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
  insertLocked(file, position, piece, Source::appended);
  return piece;
}

void RangeCache::addAppended(File& file, uint64_t position, const MemoryPiece& piece) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  cutLocked(file, position, freed);
  insertLocked(file, position, piece, Source::appended);
}

void RangeCache::addRead(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts, bool ahead) {
  std::lock_guard lock(mutex_);
  if (file.cuts != cuts) return;
  auto next = file.ranges.lower_bound(position);
  bool overlaps = next != file.ranges.end() && next->first < position + piece.length;
  if (next != file.ranges.begin()) overlaps |= std::prev(next)->second.end() > position;
  if (!overlaps) insertLocked(file, position, piece, ahead ? Source::ahead : Source::read);
}

void RangeCache::addChecked(File& file, uint64_t position, const MemoryPiece& piece, uint64_t cuts) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  if (file.cuts != cuts || piece.length == 0) return;
  uint64_t before = stats_.bytes;
  uint64_t taken = read_;
  uint64_t end = position + piece.length;
  auto first = file.ranges.upper_bound(position);
  if (first != file.ranges.begin() && std::prev(first)->second.end() > position) --first;
  for (auto next = first; next != file.ranges.end() && next->first < end; ++next)
    if (next->second.source == Source::appended) return;
  while (first != file.ranges.end() && first->first < end) eraseBetweenLocked((first++)->second, position, end, freed);
  read_ = taken;
  insertLocked(file, position, piece, Source::read);
  file.ranges.at(position).checked = true;
  read_ = taken + (stats_.bytes - before);  // what it replaces was taken in already
}

/** What lies before and behind stays. */
void RangeCache::eraseBetweenLocked(Range& range, uint64_t from, uint64_t to, std::vector<MemoryRef>& freed) {
  if (range.end() > to) {
    auto skip = static_cast<size_t>(to - range.position);
    insertLocked(*range.file, to, {range.piece.memory, range.piece.bytes + skip, range.piece.length - skip}, range.source);
    range.file->ranges.at(to).checked = range.checked;
    shrinkLocked(range, skip);
  }
  if (range.position >= from) {
    eraseLocked(range, freed);
    return;
  }
  shrinkLocked(range, static_cast<size_t>(from - range.position));
}

void RangeCache::shrinkLocked(Range& range, size_t length) {
  size_t gone = range.piece.length - length;
  stats_.bytes -= gone;
  if (range.source == Source::ahead) ahead_ -= gone;
  range.piece.length = length;
}

uint64_t RangeCache::cutsOf(File& file) {
  std::lock_guard lock(mutex_);
  return file.cuts;
}

void RangeCache::insertLocked(File& file, uint64_t position, const MemoryPiece& piece, Source source) {
  if (piece.length == 0) return;
  bool appended = source == Source::appended;
  stats_.bytes += piece.length;
  if (source == Source::ahead) ahead_ += piece.length;
  uint64_t since = takenInLocked(appended);
  (appended ? appended_ : read_) += piece.length;
  if (appended && !file.ranges.empty()) {
    Range& last = file.ranges.rbegin()->second;
    bool continues = last.source == Source::appended && last.end() == position && last.piece.bytes + last.piece.length == piece.bytes &&
                     last.piece.memory.handle() == piece.memory.handle();
    if (continues) {
      last.piece.length += piece.length;
      return;
    }
  }
  const Gone* missed = appended ? nullptr : missedLocked(file, position);
  bool again = missed && !missed->appended;
  linkLocked(file.ranges.emplace(position, Range{&file, position, piece, source, since, appended, again}).first->second);
}

void RangeCache::rememberLocked(const Range& range) {
  bool appended = range.source == Source::appended;
  uint64_t part = arena_.capacity() / kGone;
  std::vector<Gone>& gone = range.file->gone;
  for (auto known = gone.rbegin(); known != gone.rend(); ++known) {
    bool near = range.position <= known->to + kNearBytes && range.end() + kNearBytes >= known->from;
    if (!near || known->appended != appended || range.since < known->since || range.since - known->since >= part) continue;
    known->from = std::min(known->from, range.position);
    known->to = std::max(known->to, range.end());
    return;
  }
  if (gone.size() == kGone) gone.erase(gone.begin());
  gone.push_back({range.position, range.end(), range.since, appended});
}

const RangeCache::Gone* RangeCache::missedLocked(const File& file, uint64_t position) const {
  auto holds = [position](const Gone& gone) { return gone.from <= position && position < gone.to; };
  auto known = std::find_if(file.gone.rbegin(), file.gone.rend(), holds);
  if (known == file.gone.rend() || Arena::roomFor(takenInSinceLocked(*known)) > arena_.capacity()) return nullptr;
  return &*known;
}

void RangeCache::linkLocked(Range& range) {
  Ages& ages = agesOf(range);
  range.older = ages.newest;
  range.newer = nullptr;
  (ages.newest ? ages.newest->newer : ages.oldest) = &range;
  ages.newest = &range;
}

void RangeCache::unlinkLocked(Range& range) {
  Ages& ages = agesOf(range);
  (range.older ? range.older->newer : ages.oldest) = range.newer;
  (range.newer ? range.newer->older : ages.newest) = range.older;
}

void RangeCache::eraseLocked(Range& range, std::vector<MemoryRef>& freed) {
  shrinkLocked(range, 0);
  unlinkLocked(range);
  File& file = *range.file;
  if (file.staging && file.staging.handle() == range.piece.memory.handle()) {
    freed.push_back(std::move(file.staging));
    file.stagingBytes = 0;
  }
  freed.push_back(std::move(range.piece.memory));
  file.ranges.erase(file.ranges.find(range.position));
}

/** The range that holds a position; null when that is not cached. */
RangeCache::Range* RangeCache::rangeAtLocked(File& file, uint64_t position) {
  auto next = file.ranges.upper_bound(position);
  if (next == file.ranges.begin()) return nullptr;
  Range& range = std::prev(next)->second;
  return range.end() > position ? &range : nullptr;
}

RangeCache::Found RangeCache::foundIn(const Range& range, uint64_t position, size_t length) {
  auto skip = static_cast<size_t>(position - range.position);
  size_t found = std::min(length, range.piece.length - skip);
  return {{range.piece.memory, range.piece.bytes + skip, found}, range.source == Source::appended, range.checked, 0};
}

RangeCache::Found RangeCache::notFound(const File& file, uint64_t position, size_t length) {
  auto next = file.ranges.upper_bound(position);
  uint64_t gapEnd = next == file.ranges.end() ? position + length : next->first;
  return {{}, false, false, static_cast<size_t>(std::min<uint64_t>(length, gapEnd - position))};
}

RangeCache::Found RangeCache::find(File& file, uint64_t position, size_t length) {
  std::lock_guard lock(mutex_);
  Range* range = rangeAtLocked(file, position);
  if (!range) return notFound(file, position, length);
  Found found = foundIn(*range, position, length);
  if (range->source == Source::ahead && position + found.piece.length == range->end()) {
    unlinkLocked(*range);
    range->source = Source::read;
    ahead_ -= range->piece.length;
    linkLocked(*range);
  }
  return found;
}

RangeCache::Found RangeCache::peek(File& file, uint64_t position, size_t length) {
  std::lock_guard lock(mutex_);
  Range* range = rangeAtLocked(file, position);
  return range ? foundIn(*range, position, length) : notFound(file, position, length);
}

void RangeCache::hit(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  stats_.hitBytes += bytes;
}

void RangeCache::missed(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  stats_.missBytes += bytes;
}

void RangeCache::fetched(File& file, uint64_t position, uint64_t bytes) {
  size_t most = 0;
  size_t more = 0;
  {
    std::lock_guard lock(mutex_);
    const Gone* known = missedLocked(file, position);
    if (!known) return;
    // Who reads on needs less and less for what he misses, and all of it the next time.
    most = reach_ = std::max(reach_, static_cast<size_t>(takenInSinceLocked(*known)));
    lacked_ += bytes;
    more = lacked_ / Arena::kReadyBytes * Arena::kReadyBytes;
    lacked_ -= more;
  }
  if (more > 0) arena_.want(most, more);
}

size_t RangeCache::needed() {
  size_t used = arena_.stats().used;
  std::lock_guard lock(mutex_);
  size_t cached = std::min<size_t>(stats_.bytes, used);
  return used - cached + ahead_ + std::max(static_cast<size_t>(std::max<int64_t>(waiting_, 0)), Arena::kPlentyBytes);
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
  for (Gone& gone : file.gone) gone.to = std::min(gone.to, size);
  while (!file.ranges.empty() && file.ranges.rbegin()->second.position >= size)
    eraseLocked(file.ranges.rbegin()->second, freed);
  if (file.ranges.empty() || file.ranges.rbegin()->second.end() <= size) return;
  Range& last = file.ranges.rbegin()->second;
  shrinkLocked(last, static_cast<size_t>(size - last.position));
}

void RangeCache::cutRead(File& file, uint64_t size) {
  std::vector<MemoryRef> freed;
  std::lock_guard lock(mutex_);
  ++file.cuts;
  for (auto next = file.ranges.begin(); next != file.ranges.end();) {
    Range& range = (next++)->second;
    if (range.source != Source::appended && range.end() > size) eraseLocked(range, freed);
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
  for (Ages* ages : {&had_, &kept_}) {
    for (Range* range = ages->oldest; range && reclaimed < bytes;) {
      Range* next = range->newer;
      if (range->end() <= range->file->written.load(std::memory_order_acquire)) {
        reclaimed += range->piece.length;
        rememberLocked(*range);
        eraseLocked(*range, freed);
      }
      range = next;
    }
  }
  return !freed.empty();
}

}  // namespace kafabric
