#include "arena/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "arena/mapping.h"

namespace kafabric {

namespace {

constexpr uint32_t kGenerationMask = 0x7fffffff;  // 31 bits: a handle is 22 + 31 bits and exact as a double
// The tree counts granules in 32 bits and the padding to a power of two must fit as well.
constexpr size_t kMaxBytes = (size_t{1} << 31) * Arena::kGranuleBytes;

std::mutex processMutex;
size_t processBytes = Arena::kDefaultBytes;
SharedPlace processPlace;
Arena* processArena = nullptr;

size_t roundUp(size_t bytes) {
  if (bytes == 0 || bytes > kMaxBytes) throw std::bad_alloc();
  return (bytes + Arena::kGranuleBytes - 1) / Arena::kGranuleBytes * Arena::kGranuleBytes;
}

uint32_t granulesOf(size_t bytes) {
  return static_cast<uint32_t>((bytes + Arena::kGranuleBytes - 1) / Arena::kGranuleBytes);
}

}  // namespace

Arena::Arena(size_t bytes, const SharedPlace& place)
    : capacity_(roundUp(bytes)),
      place_(place),
      tree_(granulesOf(capacity_)),
      base_(map(place)),
      toucher_({base_, capacity_, [this](size_t end) { return reserve(end); },
                [this](size_t from, size_t to) { publish(from, to); }}) {
  stats_.capacity = capacity_;
  tree_.mark(0, granulesOf(capacity_), true);
  aimLocked(0);
}

uint8_t* Arena::map(const SharedPlace& place) {
  if (!place.name.empty()) shared_ = SharedFile::create(place, capacity_, sharedReason_);
  return shared_ ? shared_->data() : mapAligned(capacity_);
}

Arena::~Arena() {
  toucher_.stop();
  if (!shared_) munmap(base_, capacity_);
}

Arena& Arena::process() {
  std::lock_guard lock(processMutex);
  if (!processArena) {
    processArena = new Arena(processBytes, processPlace);
    if (processArena->shared()) std::atexit([] { releaseProcess(); });
  }
  return *processArena;
}

bool Arena::configureProcess(size_t bytes, const SharedPlace& place) {
  std::lock_guard lock(processMutex);
  if (processArena) {
    const SharedPlace& own = processArena->place_;
    return processArena->capacity() == roundUp(bytes) && own.name == place.name && own.directory == place.directory;
  }
  processBytes = roundUp(bytes);
  processPlace = place;
  return true;
}

bool Arena::releaseProcess() {
  std::lock_guard lock(processMutex);
  return !processArena || processArena->releaseShared();
}

MemoryRef Arena::allocate(size_t bytes) noexcept { return bytes == 0 ? MemoryRef{} : allocate(bytes, 0); }

MemoryRef Arena::allocateFor(size_t bytes, const AppendGuesses::Guess& guess) noexcept {
  if (bytes == 0) return {};
  // The address of a large range is not worth more memory: it might be the last.
  if (guess.length == 0 || bytes > capacity_ / 16) return allocate(bytes, 0);
  MemoryRef memory = allocate(bytes, (guess.position - guess.offset) % AppendGuesses::kUnitBytes);
  if (!memory) return memory;
  memory.block_->guess = guess;
  guesses_.expect(guess);
  return memory;
}

MemoryRef Arena::allocate(size_t bytes, size_t start) noexcept {
  uint64_t before = announced_;
  MemoryRef memory = take(bytes, start, false);
  while (!memory && bytes <= capacity_ && makeRoom(start + bytes)) memory = take(bytes, start, false);
  if (!memory) memory = take(bytes, start, true);
  // What was announced before the refusal was noted is not told again.
  if (!memory && announced_ != before && reclaim(start + bytes)) memory = take(bytes, start, false);
  return memory;
}

bool Arena::makeRoom(size_t bytes) noexcept {
  Stats now = stats();
  bool scarce = now.backed < kPlentyBytes || bytes > now.backed / kFewFit || !toucher_.running();
  if ((scarce && grow()) || reclaim(bytes)) return true;
  want(now.used + bytes);
  return !scarce && grow();
}

MemoryRef Arena::take(size_t bytes, size_t start, bool refuse) noexcept {
  std::lock_guard lock(mutex_);
  uint32_t first = GranuleTree::kNone;
  uint32_t granules = granulesOf(start + bytes);
  if (start + bytes <= capacity_ && !(freeSlots_.empty() && blocks_.size() == kMaxBlocks)) {
    first = bytes <= kSmallBytes ? tree_.find(granules) : tree_.findHighest(granules);
  }
  if (first == GranuleTree::kNone) {
    if (refuse) {
      starved_ = true;
      ++stats_.refusals;
    }
    return {};
  }
  if (freeSlots_.empty()) {
    ArenaBlock& fresh = blocks_.emplace_back();
    fresh.arena = this;
    fresh.slot = static_cast<uint32_t>(blocks_.size() - 1);
    fresh.generation = 1;
    freeSlots_.push_back(fresh.slot);
  }
  tree_.mark(first, granules, true);
  ArenaBlock& block = blocks_[freeSlots_.back()];
  freeSlots_.pop_back();
  block.firstGranule = first;
  block.start = static_cast<uint32_t>(start);
  block.size = bytes;
  block.guess = {};
  block.references.store(1, std::memory_order_relaxed);
  stats_.used += size_t{granules} * kGranuleBytes;
  ++stats_.blocks;
  if (stats_.used > stats_.peak) {
    stats_.peak = stats_.used;
    aimLocked(std::min(2 * stats_.peak, kPlentyBytes));
  }
  return MemoryRef(&block);
}

void Arena::want(size_t bytes, size_t more) noexcept {
  std::lock_guard lock(mutex_);
  size_t room = roomFor(bytes);
  if (room <= stats_.aimed) return;
  // Whole steps are aimed at, always beyond what is asked for.
  aimLocked(more < room - stats_.aimed ? stats_.aimed + more - 1 : room);
}

void Arena::aimLocked(size_t bytes) noexcept {
  // In steps: most allocations wake nobody.
  size_t goal = std::min(capacity_, (bytes / kReadyBytes + 1) * kReadyBytes);
  if (goal > stats_.aimed) toucher_.aim(stats_.aimed = goal);
}

bool Arena::grow() noexcept {
  // Whoever finds that there is no more finds what others have just added.
  std::lock_guard growing(growMutex_);
  // Huge pages are made present here, while somebody waits: one at a time.
  bool huge = shared_ && shared_->hugeBytes() > 0;
  auto [from, to] = reserveLocked(huge ? kHugePageBytes : kGrowthBytes, SharedFile::Growth::quick);
  if (to == from) return false;
  publish(from, to);
  return true;
}

std::pair<size_t, size_t> Arena::reserve(size_t end) noexcept {
  std::lock_guard growing(growMutex_);
  if (end <= reserved_) return {end, end};
  return reserveLocked(end - reserved_, SharedFile::Growth::present);
}

std::pair<size_t, size_t> Arena::reserveLocked(size_t bytes, SharedFile::Growth growth) noexcept {
  size_t from = reserved_;
  reserved_ += shared_ ? shared_->grow(bytes, growth) : std::min(bytes, capacity_ - from);
  return {from, reserved_};
}

void Arena::publish(size_t from, size_t to) noexcept {
  bool notify = false;
  {
    std::lock_guard lock(mutex_);
    tree_.mark(granulesOf(from), granulesOf(to - from), false);
    stats_.backed += to - from;
    std::swap(notify, starved_);
  }
  if (notify) notifySubscribers();
}

bool Arena::reclaim(size_t bytes) noexcept {
  uint64_t before = reclaims_;
  std::lock_guard lock(reclaimMutex_);
  if (reclaims_ != before) return true;  // another thread just did: what it freed may do
  if (!reclaimer_ || !reclaimer_(std::max(bytes, kReclaimStepBytes))) return false;
  ++reclaims_;
  return true;
}

void Arena::setReclaimer(std::function<bool(size_t bytes)> reclaim) {
  std::lock_guard lock(reclaimMutex_);
  reclaimer_ = std::move(reclaim);
}

bool Arena::releaseShared() {
  if (!shared_ || !shared_->remove()) return !shared_;
  released_ = true;
  return true;
}

MemoryRef Arena::find(uint64_t handle) {
  auto slot = static_cast<uint32_t>(handle & (kMaxBlocks - 1));
  std::lock_guard lock(mutex_);
  if (slot >= blocks_.size()) return {};
  ArenaBlock& block = blocks_[slot];
  if (block.generation != handle >> 22) return {};
  // A block whose last reference is just going away is freed already: do not bring it back.
  uint32_t references = block.references.load(std::memory_order_relaxed);
  do {
    if (references == 0) return {};
  } while (!block.references.compare_exchange_weak(references, references + 1, std::memory_order_relaxed));
  return MemoryRef(&block);
}

void Arena::free(ArenaBlock* block) noexcept {
  if (block->guess.length > 0 && !block->guess.arrived) guesses_.cancel(block->guess);
  bool notify = false;
  {
    std::lock_guard lock(mutex_);
    uint32_t granules = granulesOf(block->start + block->size);
    tree_.mark(block->firstGranule, granules, false);
    block->generation = (block->generation + 1) & kGenerationMask;
    freeSlots_.push_back(block->slot);
    stats_.used -= size_t{granules} * kGranuleBytes;
    --stats_.blocks;
    std::swap(notify, starved_);
  }
  if (notify) notifySubscribers();
}

void Arena::announceReclaimable() noexcept {
  bool notify = false;
  {
    std::lock_guard lock(mutex_);
    ++announced_;
    std::swap(notify, starved_);
  }
  if (notify) notifySubscribers();
}

void Arena::notifySubscribers() noexcept {
  std::lock_guard lock(subscribersMutex_);
  for (auto& [id, onFreed] : subscribers_) onFreed();
}

Arena::Stats Arena::stats() {
  std::lock_guard lock(mutex_);
  stats_.touched = toucher_.touched();
  stats_.huge = shared_ ? shared_->hugeBytes() : 0;
  return stats_;
}

int Arena::subscribe(std::function<void()> onFreed) {
  std::lock_guard lock(subscribersMutex_);
  subscribers_.emplace(nextSubscription_, std::move(onFreed));
  return nextSubscription_++;
}

void Arena::unsubscribe(int subscription) {
  std::lock_guard lock(subscribersMutex_);
  subscribers_.erase(subscription);
}

}  // namespace kafabric
