// Parts of files that wait to be sent from there, as replies to peers that read slowly do: they must not become holes meanwhile.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "store/file_handle.h"

namespace kafabric {

/** One part. Thread-safe as a whole, each by itself for one thread at a time. */
class OwedPart {
 public:
  OwedPart() = default;
  ~OwedPart();
  OwedPart(const OwedPart&) = delete;
  OwedPart& operator=(const OwedPart&) = delete;

  /**
   * From now on it is to be sent from the file, which outlives this. False when it may be a hole by now: parts of some file were given back since
   * `holesBefore` were counted, when the part was known to be needed.
   */
  bool claim(const FileHandle& file, uint64_t holesBefore);

  /** How often parts of files were given back. */
  static uint64_t holes();
  /** Whether parts of a file may be given back, which counts as done: nothing waits to be sent from it. */
  static bool mayMakeHoles(dev_t device, ino_t inode);

 private:
  const FileHandle* file_ = nullptr;
};

}  // namespace kafabric
