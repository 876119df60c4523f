// What JavaScript asks of a reactor, in batches.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "arena/arena.h"
#include "store/file_handle.h"

namespace kafabric::net {

struct Command {
  enum class Kind : uint8_t { kBytes, kMemory, kFile, kClose, kPause, kResume };

  Kind kind = Kind::kBytes;
  bool endsReply = false;
  bool reports = false;  // with endsReply: JavaScript hears when the reply is sent
  bool failed = false;  // kClose: because a reply could not be made
  uint64_t connection = 0;
  uint64_t offset = 0;  // in the batch's bytes, the memory, or the file
  uint64_t length = 0;
  MemoryRef memory;
  std::shared_ptr<FileHandle> file;  // of kMemory: where the same bytes are, or will be; may be null
  uint64_t filePosition = 0;         // there, for kMemory
};

struct CommandBatch {
  std::vector<Command> commands;
  std::vector<uint8_t> bytes;

  bool empty() const { return commands.empty(); }
  /** Keeps the capacity: batches circulate between JavaScript's thread and the reactor. */
  void clear() {
    commands.clear();
    bytes.clear();
  }
};

}  // namespace kafabric::net
