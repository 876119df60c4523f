#include "compaction/offset_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace kafabric {

static_assert(OffsetMap::kEntryBytes == sizeof(KeyHash) + sizeof(int64_t));

OffsetMap::OffsetMap(size_t slots, size_t maxKeys) : slots_(std::max<size_t>(slots, 2)), maxKeys_(std::min(maxKeys, slots_ - 1)) {
  void* memory = ::mmap(nullptr, slots_ * sizeof(Entry), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  entries_ = static_cast<Entry*>(memory);
}

OffsetMap::~OffsetMap() { ::munmap(entries_, slots_ * sizeof(Entry)); }

OffsetMap::Entry& OffsetMap::find(const KeyHash& key) const {
  // There is always a free slot, so this ends.
  for (size_t slot = static_cast<size_t>(static_cast<unsigned __int128>(key.low) * slots_ >> 64);; slot = slot + 1 == slots_ ? 0 : slot + 1) {
    Entry& entry = entries_[slot];
    if (entry.next == 0 || entry.key == key) return entry;
  }
}

bool OffsetMap::put(const KeyHash& key, int64_t offset) {
  Entry& entry = find(key);
  if (entry.next == 0) {
    if (size_ >= maxKeys_) return false;
    ++size_;
    entry.key = key;
  }
  entry.next = offset + 1;
  return true;
}

int64_t OffsetMap::get(const KeyHash& key) const { return find(key).next - 1; }

}  // namespace kafabric
