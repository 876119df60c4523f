// Memory of a server, of which a client on the same machine maps what the server has lent to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "direct/region_socket.h"
#include "store/descriptor.h"

namespace kafabric::direct {

class LentRange;

/** While it or a range of it exists, the server knows by the open socket that what it has lent may be in use. */
class LentMemory : public std::enable_shared_from_this<LentMemory> {
 public:
  /** Owns both descriptors. */
  LentMemory(int socket, int fd, const ServerMemory& memory) : socket_(socket), file_(fd), memory_(memory) {}

  /** Maps a range that the server has lent, its pages present; null and errno when it cannot. */
  std::shared_ptr<LentRange> map(uint64_t offset, uint64_t bytes, bool writable);

 private:
  Descriptor socket_;
  Descriptor file_;
  ServerMemory memory_;
};

/** Mapped pages of a server's memory. Nobody else's pages can be reached through it; those at its ends may hold bytes of others. */
class LentRange {
 public:
  LentRange(std::shared_ptr<LentMemory> memory, void* pages, size_t pageBytes, size_t start)
      : memory_(std::move(memory)), pages_(pages), pageBytes_(pageBytes), start_(start) {}
  ~LentRange();
  LentRange(const LentRange&) = delete;
  LentRange& operator=(const LentRange&) = delete;

  void* pages() const { return pages_; }
  size_t pageBytes() const { return pageBytes_; }
  /** Where in the pages the range begins. */
  size_t start() const { return start_; }

 private:
  std::shared_ptr<LentMemory> memory_;
  void* pages_;
  size_t pageBytes_;
  size_t start_;
};

}  // namespace kafabric::direct
