// Copies of complete files in other directories, for moving them between devices: range by range, then made durable under their name.
#pragma once

#include <cstdint>
#include <string>

#include "store/client_io.h"
#include "store/io.h"

namespace kafabric {

/**
 * Copies the bytes [position, position + length) of `from` to the same place of `to`, which is made if it is not there, and sets `copied`:
 * less than `length` at the end of `from`. Holes stay holes. Bypasses the page cache where both file systems can and `direct` is set; `position` must be a
 * multiple of kMaxBlockBytes. Neither file may be written meanwhile. With `clients` each piece waits for a pause of theirs, though not for long. Blocks.
 */
IoStatus copyRange(const std::string& from, const std::string& to, uint64_t position, uint64_t length, bool direct, uint64_t& copied,
                   ClientIo* clients = nullptr);

/**
 * Gives a finished copy its name: checks that it has the length of `from`, gives it that file's time of change, flushes it, renames it to
 * `to`, which must not exist (EEXIST), and flushes the directory. After a crash `to` is either complete or not there. Blocks.
 */
IoStatus publishCopy(const std::string& from, const std::string& copy, const std::string& to);

}  // namespace kafabric
