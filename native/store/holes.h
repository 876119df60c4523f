// Giving back the space of parts of a file that nobody needs any more, while everything else stays where it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/io.h"

namespace kafabric {

struct FileRange {
  uint64_t position;
  uint64_t length;
};

/** What is left of a file, and how. */
struct Punched {
  /** Bytes that the file takes on its device, at most its length. */
  uint64_t held = 0;
  /** The file is another one of the same name and length: descriptors that are open keep the space of the one before. */
  bool replaced = false;
};

/**
 * Gives back the space of ranges of a complete file, durably, block by block; they read as zeros then. The ranges ascend and do not overlap. What
 * lies between stays as it is and where it is, before, meanwhile and after a crash, and so do length and time of change. Where the file
 * system cannot do that, the file is replaced by a copy of what lies between, made beside it under the name `path`.moving. Nobody may write the file
 * meanwhile, nor use its space for another one. `fd` is of the file `path`, and not for direct I/O. EINVAL for ranges that do not lie in the file. Blocks.
 */
IoStatus punchHoles(int fd, const std::string& path, const std::vector<FileRange>& ranges, Punched& punched);

}  // namespace kafabric
