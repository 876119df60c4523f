// Memory of a server, of which a client on the same machine reaches what the server has lent to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "direct/region_socket.h"
#include "store/descriptor.h"

namespace kafabric::direct {

class LentRange;

/**
 * While it or a range of it exists, the server knows by the open socket that what it has lent may be in use.
 *
 * All of the memory is mapped twice, once for both kinds of ranges, and stays so: to map each range for itself, and to unmap it, costs more
 * than to copy it. What is only to be read can be read by whoever has an address of it; what is to be written to can be reached while it is lent.
 * Used by one thread.
 */
class LentMemory : public std::enable_shared_from_this<LentMemory> {
 public:
  /** Owns both descriptors. */
  LentMemory(int socket, int fd, const ServerMemory& memory) : socket_(socket), file_(fd), memory_(memory) {}
  ~LentMemory();
  LentMemory(const LentMemory&) = delete;
  LentMemory& operator=(const LentMemory&) = delete;

  /** A range that the server has lent, its pages present; null and errno when it cannot be reached. Throws std::bad_alloc. */
  std::shared_ptr<LentRange> map(uint64_t offset, uint64_t bytes, bool writable);

 private:
  friend class LentRange;
  /** All of the memory, as one kind of ranges see it. */
  struct Window {
    uint8_t* base = nullptr;
    std::vector<bool> present;  // pages that need no fault any more
  };

  size_t pages() const;
  /** Maps a window if that has not been done yet; false and errno when it cannot be. */
  bool open(Window& window, int access);
  void makePresent(Window& window, size_t first, size_t end);
  bool allowWrites(size_t first, size_t end);
  void endWrites(size_t first, size_t end);

  Descriptor socket_;
  Descriptor file_;
  ServerMemory memory_;
  Window readable_;
  Window writable_;
  std::vector<uint16_t> writers_;  // ranges, for each page of the window that is written to
};

/** Pages of a server's memory; those at its ends may hold bytes of others. */
class LentRange {
 public:
  /** Of `memory`, the pages from `first` up to `end`, which are at `pages`. */
  LentRange(std::shared_ptr<LentMemory> memory, uint8_t* pages, size_t first, size_t end, size_t start, bool writable)
      : memory_(std::move(memory)), pages_(pages), first_(first), end_(end), start_(start), writable_(writable) {}
  ~LentRange();
  LentRange(const LentRange&) = delete;
  LentRange& operator=(const LentRange&) = delete;

  void* pages() const { return pages_; }
  size_t pageBytes() const;
  /** Where in the pages the range begins. */
  size_t start() const { return start_; }

 private:
  std::shared_ptr<LentMemory> memory_;
  uint8_t* pages_;
  size_t first_;
  size_t end_;
  size_t start_;
  bool writable_;
};

}  // namespace kafabric::direct
