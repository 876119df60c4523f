// The last offset of each key in the part of a log that is being compacted, 24 bytes for each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compaction/key_hash.h"

namespace kafabric {

class OffsetMap {
 public:
  static constexpr size_t kEntryBytes = 24;

  /** Holds at most `maxKeys` of `slots` (more than maxKeys). Memory is taken as it is used. Throws std::bad_alloc. */
  OffsetMap(size_t slots, size_t maxKeys);
  ~OffsetMap();
  OffsetMap(const OffsetMap&) = delete;
  OffsetMap& operator=(const OffsetMap&) = delete;

  /** Offsets are not negative. False, and nothing is changed, when the key is new and there is no room for it. */
  bool put(const KeyHash& key, int64_t offset);
  /** -1 for a key that is not there. */
  int64_t get(const KeyHash& key) const;
  size_t size() const { return size_; }

 private:
  struct Entry {
    KeyHash key;
    int64_t next;  // the offset and one; 0: free
  };
  Entry& find(const KeyHash& key) const;

  Entry* entries_;
  size_t slots_;
  size_t maxKeys_;
  size_t size_ = 0;
};

}  // namespace kafabric
