// The last offset of each key in the part of a log that is being compacted, 24 bytes for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "compaction/key_hash.h"

namespace kafabric {

class OffsetMap {
 public:
  static constexpr size_t kEntryBytes = 24;

  /**
   * Holds at most `maxKeys` of `slots` (more than maxKeys). It begins small and grows with its keys; while it grows it takes up to an
   * eighth more. Throws std::bad_alloc.
   */
  OffsetMap(size_t slots, size_t maxKeys);

  /** Offsets are not negative. False, and nothing is changed, when the key is new and there is no room for it. Throws std::bad_alloc. */
  bool put(const KeyHash& key, int64_t offset);
  /** -1 for a key that is not there. */
  int64_t get(const KeyHash& key) const;
  /** Fetches what `put` and `get` of a key will look at. */
  void prefetch(const KeyHash& key) const { __builtin_prefetch(&entries_[slotOf(key)]); }
  size_t size() const { return size_; }
  size_t maxBytes() const { return maxSlots_ * kEntryBytes; }

  /** Calls `take` with the offset of each key, in no order. */
  template <typename Take>
  void eachOffset(Take take) const {
    for (size_t slot = 0; slot < slots_; ++slot)
      if (entries_[slot].next != 0) take(entries_[slot].next - 1);
  }

 private:
  struct Entry {
    KeyHash key;
    int64_t next;  // the offset and one; 0: free
  };
  struct Unmap {
    size_t bytes = 0;
    void operator()(Entry* entries) const;
  };
  using Entries = std::unique_ptr<Entry[], Unmap>;

  static Entries allocate(size_t slots);
  size_t slotOf(const KeyHash& key) const { return static_cast<size_t>(static_cast<unsigned __int128>(key.low) * slots_ >> 64); }
  Entry& find(const KeyHash& key) const;
  void grow();

  size_t maxSlots_;
  size_t maxKeys_;
  unsigned steps_;  // how often it can grow
  size_t slots_;
  Entries entries_;
  size_t size_ = 0;
};

}  // namespace kafabric
