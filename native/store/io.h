// System calls on files, made whole: retried when interrupted, continued when partial.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <vector>

namespace kafabric {

/** The outcome of an operation: an errno value (0: success) and, for a failure, what could not be done. */
struct IoStatus {
  int error = 0;
  std::string message;

  bool ok() const { return error == 0; }
  /** "what path: reason" */
  static IoStatus failure(int error, const char* what, const std::string& path);
};

/**
 * Writes all of `parts` (which it changes) at `position`; `written` says how much was written, also on failure. With direct I/O
 * `block` is its unit: what a partial write leaves is continued from a whole block.
 */
int writeFully(int fd, std::vector<iovec>& parts, uint64_t position, size_t& written, size_t block = 1);

/** As fallocate; 0 or an errno value. A disk that gets full may have given a part. */
int allocateFully(int fd, int mode, uint64_t position, uint64_t length);

/** Reads until `length` bytes or the end of the file; `got` says how much. */
int readFully(int fd, uint8_t* target, size_t length, uint64_t position, size_t& got);

/**
 * Makes a file bypass the page cache, if its file system can: returns the unit of positions, lengths and addresses from then
 * on (at most kMaxBlockBytes), or 0 when it stays as it is. `path` is of the open file.
 */
size_t enableDirect(int fd, const std::string& path);

/** When an open file was made, in nanoseconds since 1970; 0 where its file system does not say. */
uint64_t birthOf(int fd);

/** Makes the entries of a directory durable: files created in, renamed in or removed from it. */
IoStatus syncDirectory(const std::string& path);

/** The directory that contains `path`. */
std::string parentOf(const std::string& path);

/**
 * Replaces the content of a file so that after a crash it has either the old or the new one: writes `path`.tmp, flushes,
 * renames, flushes the directory. One at a time for each path.
 */
IoStatus writeAtomically(const std::string& path, const uint8_t* bytes, size_t length);

}  // namespace kafabric
