#include "compaction/offset_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

namespace kafabric {

namespace {

constexpr size_t kFirstSlots = 4096;
/** How many times smaller each table is than the next, by its exponent of two. */
constexpr unsigned kStepBits = 3;

unsigned stepsBelow(size_t slots) {
  unsigned steps = 0;
  for (; slots > kFirstSlots; slots >>= kStepBits) ++steps;
  return steps;
}

}  // namespace

static_assert(OffsetMap::kEntryBytes == sizeof(KeyHash) + sizeof(int64_t));

OffsetMap::OffsetMap(size_t slots, size_t maxKeys)
    : maxSlots_(std::max<size_t>(slots, 2)),
      maxKeys_(std::min(maxKeys, maxSlots_ - 1)),
      steps_(stepsBelow(maxSlots_)),
      slots_(maxSlots_ >> (steps_ * kStepBits)),
      entries_(allocate(slots_)) {}

void OffsetMap::Unmap::operator()(Entry* entries) const { ::munmap(entries, bytes); }

OffsetMap::Entries OffsetMap::allocate(size_t slots) {
  size_t bytes = slots * sizeof(Entry);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Keys lie anywhere in it: with small pages most of them would miss the processor's table of pages.
  ::madvise(memory, bytes, MADV_HUGEPAGE);
  return Entries(static_cast<Entry*>(memory), Unmap{bytes});
}

OffsetMap::Entry& OffsetMap::find(const KeyHash& key) const {
  // There is always a free slot, so this ends.
  for (size_t slot = slotOf(key);; slot = slot + 1 == slots_ ? 0 : slot + 1) {
    Entry& entry = entries_[slot];
    if (entry.next == 0 || entry.key == key) return entry;
  }
}

void OffsetMap::grow() {
  size_t slots = maxSlots_ >> ((steps_ - 1) * kStepBits);
  Entries smaller = std::exchange(entries_, allocate(slots));
  size_t before = std::exchange(slots_, slots);
  --steps_;
  // In the order of their slots, which stays: it runs through both from the start to the end.
  for (size_t slot = 0; slot < before; ++slot)
    if (smaller[slot].next != 0) find(smaller[slot].key) = smaller[slot];
}

bool OffsetMap::put(const KeyHash& key, int64_t offset) {
  Entry* entry = &find(key);
  if (entry->next == 0) {
    if (size_ >= maxKeys_) return false;
    if (steps_ > 0 && size_ >= slots_ / 4 * 3) {
      grow();
      entry = &find(key);
    }
    ++size_;
    entry->key = key;
  }
  entry->next = offset + 1;
  return true;
}

int64_t OffsetMap::get(const KeyHash& key) const { return find(key).next - 1; }

}  // namespace kafabric
