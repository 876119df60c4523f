// The replies of one connection on their way out.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "arena/arena.h"
#include "net/tls.h"
#include "store/file_handle.h"
#include "store/owed_part.h"

namespace kafabric::net {

/** Bytes, memory ranges and file ranges, written in order. For the reactor's thread. */
class OutputQueue {
 public:
  enum class Result : uint8_t {
    kDrained,
    kBlocked,    // the socket takes no more now
    kTurnUsed,   // it may take more; other connections come first
    kBroken,     // the peer is gone: error() is the errno
    kShortFile,  // a file range ends before its length: the reply cannot be completed
  };

  /** Sends what the socket takes at once of these bytes, unless others are before them; returns how many. Errors show with the next write. */
  size_t sendNow(int socket, const uint8_t* data, size_t length);
  /** Copies the bytes. */
  void addBytes(const uint8_t* data, size_t length);
  /** With `file`, the same bytes are there from `filePosition` on, or will be: see giveBackMemory. */
  void addMemory(MemoryRef memory, size_t offset, size_t length, std::shared_ptr<FileHandle> file = nullptr,
                 uint64_t filePosition = 0);
  void addFile(std::shared_ptr<FileHandle> file, uint64_t position, uint64_t length);
  /** What was added since the last reply ended is one reply; nothing added: a request that gets no answer. `reported`: see takeReported. */
  void endReply(bool reported = false);

  /** Writes as much as the socket takes within a turn's bounds. @param tls null: in the clear */
  Result write(int socket, TlsStream* tls = nullptr);

  /**
   * Lets go of memory that has waited to be sent since `before` or longer, where its bytes are in a file by now, and stay there: they are sent from
   * there. So peers that read slowly do not hold the memory that all share. Returns the bytes.
   */
  uint64_t giveBackMemory(uint64_t before);
  /** What is added from now on was added at this time. */
  void setTime(uint64_t nowMs) { nowMs_ = nowMs; }

  bool empty() const { return pieces_.empty(); }
  uint64_t queuedBytes() const { return queuedBytes_; }
  int error() const { return error_; }
  /** Replies that were written, or that were empty with nothing before them, since the last call. */
  uint32_t takeFinished() { return std::exchange(finished_, 0); }
  /** Those of them whose end is to be reported. */
  uint32_t takeReported() { return std::exchange(reported_, 0); }
  /** Whether replies wait to be sent whose end is to be reported. */
  bool reporting() const { return reporting_ > 0; }
  uint64_t takeWritten() { return std::exchange(written_, 0); }

 private:
  struct Piece {
    std::vector<uint8_t> bytes;  // used if neither memory nor file is set
    MemoryRef memory;
    std::shared_ptr<FileHandle> file;
    uint64_t position = 0;  // of the next byte to send
    uint64_t filePosition = 0;  // with memory and file: where byte 0 of the memory is in the file
    uint64_t holesBefore = 0;   // with memory and file: see OwedPart
    OwedPart owed;              // of the file, behind it: it goes first
    uint64_t addedMs = 0;
    uint64_t left = 0;
    bool isFile() const { return file && !memory; }
    uint32_t repliesEnded = 0;  // replies that are complete once this piece is sent
    uint32_t reportsEnded = 0;  // those of them that are to be reported
  };

  Piece& push();
  ssize_t sendGathered(int socket);
  ssize_t sendFile(int socket, Piece& piece);
  ssize_t sendEncrypted(TlsStream& tls);
  void consume(uint64_t count);

  std::deque<Piece> pieces_;
  uint64_t nowMs_ = 0;
  uint64_t queuedBytes_ = 0;
  uint64_t written_ = 0;
  uint32_t finished_ = 0;
  uint32_t reported_ = 0;
  uint32_t reporting_ = 0;
  int error_ = 0;
};

}  // namespace kafabric::net
