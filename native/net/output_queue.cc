#include "net/output_queue.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace kafabric::net {

namespace {

constexpr size_t kMaxGather = 64;
constexpr size_t kTurnBytes = 4 << 20;
constexpr size_t kSendFileBytes = 1 << 20;
// The most that a record of TLS carries.
constexpr size_t kRecordBytes = 16 << 10;
// Small replies share a buffer with those before them, and count as written when all of it is.
constexpr size_t kSharedBufferBytes = 16 << 10;

}  // namespace

OutputQueue::Piece& OutputQueue::push() {
  Piece& piece = pieces_.emplace_back();
  piece.addedMs = nowMs_;
  return piece;
}

size_t OutputQueue::sendNow(int socket, const uint8_t* data, size_t length) {
  if (!pieces_.empty() || length == 0) return 0;
  ssize_t sent = ::send(socket, data, length, MSG_NOSIGNAL);
  if (sent <= 0) return 0;
  written_ += static_cast<size_t>(sent);
  return static_cast<size_t>(sent);
}

void OutputQueue::addBytes(const uint8_t* data, size_t length) {
  if (length == 0) return;
  Piece* last = pieces_.empty() ? nullptr : &pieces_.back();
  bool share = last && !last->memory && !last->file && last->bytes.size() + length <= kSharedBufferBytes;
  Piece& piece = share ? *last : push();
  piece.bytes.insert(piece.bytes.end(), data, data + length);
  piece.left += length;
  queuedBytes_ += length;
}

void OutputQueue::addMemory(MemoryRef memory, size_t offset, size_t length, std::shared_ptr<FileHandle> file,
                            uint64_t filePosition) {
  if (length == 0) return;
  Piece& piece = push();
  piece.memory = std::move(memory);
  piece.file = std::move(file);
  piece.filePosition = filePosition - offset;
  piece.holesBefore = OwedPart::holes();
  piece.position = offset;
  piece.left = length;
  queuedBytes_ += length;
}

void OutputQueue::addFile(std::shared_ptr<FileHandle> file, uint64_t position, uint64_t length) {
  if (length == 0) return;
  Piece& piece = push();
  piece.file = std::move(file);
  piece.position = position;
  piece.left = length;
  queuedBytes_ += length;
}

void OutputQueue::endReply(bool reported) {
  if (pieces_.empty()) {
    ++finished_;
    if (reported) ++reported_;
  } else {
    ++pieces_.back().repliesEnded;
    if (!reported) return;
    ++pieces_.back().reportsEnded;
    ++reporting_;
  }
}

uint64_t OutputQueue::giveBackMemory(uint64_t before) {
  uint64_t bytes = 0;
  for (Piece& piece : pieces_) {
    if (piece.addedMs > before) break;
    uint64_t start = piece.filePosition + piece.position;
    bool inFile = piece.memory && piece.file && start + piece.left <= piece.file->written() && piece.file->sendFd() >= 0;
    if (!inFile || !piece.owed.claim(*piece.file, piece.holesBefore)) continue;
    piece.memory.reset();
    piece.position = start;
    bytes += piece.left;
  }
  return bytes;
}

OutputQueue::Result OutputQueue::write(int socket, TlsStream* tls) {
  size_t turn = 0;
  while (!pieces_.empty()) {
    if (turn >= kTurnBytes) return Result::kTurnUsed;
    Piece& front = pieces_.front();
    ssize_t count = tls ? sendEncrypted(*tls) : front.isFile() ? sendFile(socket, front) : sendGathered(socket);
    if (count > 0) {
      consume(static_cast<uint64_t>(count));
      turn += static_cast<size_t>(count);
    } else if (count == 0) {
      return Result::kShortFile;
    } else if (errno == EAGAIN) {
      return Result::kBlocked;
    } else if (errno != EINTR) {
      error_ = errno;
      return Result::kBroken;
    }
  }
  return Result::kDrained;
}

ssize_t OutputQueue::sendGathered(int socket) {
  iovec parts[kMaxGather];
  size_t count = 0;
  size_t total = 0;
  bool more = false;
  for (Piece& piece : pieces_) {
    more = piece.isFile();
    if (more || count == kMaxGather || total >= kTurnBytes) break;
    uint8_t* start = piece.memory ? piece.memory.data() : piece.bytes.data();
    parts[count++] = {start + piece.position, piece.left};
    total += piece.left;
  }
  if (count == 1) return send(socket, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  return sendmsg(socket, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

ssize_t OutputQueue::sendFile(int socket, Piece& piece) {
  auto offset = static_cast<off_t>(piece.position);
  return sendfile(socket, piece.file->sendFd(), &offset, std::min<uint64_t>(piece.left, kSendFileBytes));
}

/** One record or more of the same piece, else one that pieces share. What is tried again begins with the same bytes, and is no less. */
ssize_t OutputQueue::sendEncrypted(TlsStream& tls) {
  Piece& front = pieces_.front();
  if (front.left >= kRecordBytes && !front.isFile()) {
    const uint8_t* start = front.memory ? front.memory.data() : front.bytes.data();
    return tls.write(start + front.position, front.left);
  }
  uint8_t record[kRecordBytes];
  size_t filled = 0;
  for (Piece& piece : pieces_) {
    size_t part = std::min<uint64_t>(piece.left, kRecordBytes - filled);
    if (piece.isFile()) {
      ssize_t count = ::pread(piece.file->sendFd(), record + filled, part, static_cast<off_t>(piece.position));
      if (count <= 0 && filled == 0) return count;
      filled += static_cast<size_t>(std::max<ssize_t>(count, 0));
      if (count < static_cast<ssize_t>(part)) break;
    } else {
      const uint8_t* start = piece.memory ? piece.memory.data() : piece.bytes.data();
      std::memcpy(record + filled, start + piece.position, part);
      filled += part;
    }
    if (filled == kRecordBytes) break;
  }
  return tls.write(record, filled);
}

void OutputQueue::consume(uint64_t count) {
  written_ += count;
  queuedBytes_ -= count;
  while (count > 0) {
    Piece& front = pieces_.front();
    uint64_t part = std::min(count, front.left);
    front.position += part;
    front.left -= part;
    count -= part;
    if (front.left > 0) return;
    finished_ += front.repliesEnded;
    reported_ += front.reportsEnded;
    reporting_ -= front.reportsEnded;
    pieces_.pop_front();
  }
}

}  // namespace kafabric::net
