#include "arena/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace kafabric {

namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
constexpr uint32_t kGenerationMask = 0x7fffffff;  // 31 bits: a handle is 22 + 31 bits and exact as a double
// The tree counts granules in 32 bits and the padding to a power of two must fit as well.
constexpr size_t kMaxBytes = (size_t{1} << 31) * Arena::kGranuleBytes;

std::mutex processMutex;
size_t processBytes = Arena::kDefaultBytes;
Arena* processArena = nullptr;

size_t roundUp(size_t bytes) {
  if (bytes == 0 || bytes > kMaxBytes) throw std::bad_alloc();
  return (bytes + Arena::kGranuleBytes - 1) / Arena::kGranuleBytes * Arena::kGranuleBytes;
}

}  // namespace

Arena::Arena(size_t bytes)
    : capacity_(roundUp(bytes)), tree_(static_cast<uint32_t>(capacity_ / kGranuleBytes)) {
  void* memory = mmap(nullptr, capacity_ + kHugePageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  auto start = reinterpret_cast<uintptr_t>(memory);
  uintptr_t aligned = (start + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  if (aligned > start) munmap(memory, aligned - start);
  if (aligned - start < kHugePageBytes) {
    munmap(reinterpret_cast<void*>(aligned + capacity_), kHugePageBytes - (aligned - start));
  }
  base_ = reinterpret_cast<uint8_t*>(aligned);
  madvise(base_, capacity_, MADV_HUGEPAGE);  // only a hint: fewer faults on first touch
  stats_.capacity = capacity_;
}

Arena::~Arena() { munmap(base_, capacity_); }

Arena& Arena::process() {
  std::lock_guard lock(processMutex);
  if (!processArena) processArena = new Arena(processBytes);
  return *processArena;
}

bool Arena::configureProcess(size_t bytes) {
  std::lock_guard lock(processMutex);
  if (processArena) return processArena->capacity() == roundUp(bytes);
  processBytes = roundUp(bytes);
  return true;
}

MemoryRef Arena::allocate(size_t bytes) noexcept {
  if (bytes == 0) return {};
  std::lock_guard lock(mutex_);
  auto granules = bytes > capacity_ ? UINT32_MAX
                                    : static_cast<uint32_t>((bytes + kGranuleBytes - 1) / kGranuleBytes);
  uint32_t first = granules == UINT32_MAX ? GranuleTree::kNone : tree_.find(granules);
  if (first == GranuleTree::kNone || (freeSlots_.empty() && blocks_.size() == kMaxBlocks)) {
    starved_ = true;
    ++stats_.refusals;
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
  block.size = bytes;
  block.references.store(1, std::memory_order_relaxed);
  stats_.used += size_t{granules} * kGranuleBytes;
  stats_.peak = std::max(stats_.peak, stats_.used);
  ++stats_.blocks;
  return MemoryRef(&block);
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
  bool notify = false;
  {
    std::lock_guard lock(mutex_);
    auto granules = static_cast<uint32_t>((block->size + kGranuleBytes - 1) / kGranuleBytes);
    tree_.mark(block->firstGranule, granules, false);
    block->generation = (block->generation + 1) & kGenerationMask;
    freeSlots_.push_back(block->slot);
    stats_.used -= size_t{granules} * kGranuleBytes;
    --stats_.blocks;
    std::swap(notify, starved_);
  }
  if (!notify) return;
  std::lock_guard lock(subscribersMutex_);
  for (auto& [id, onFreed] : subscribers_) onFreed();
}

Arena::Stats Arena::stats() {
  std::lock_guard lock(mutex_);
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
