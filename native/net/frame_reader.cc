#include "net/frame_reader.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kafabric::net {

namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kReadBytes = 128 << 10;
// After a large frame another is likely: read little more than its length, the rest goes straight to its memory.
constexpr size_t kReadAfterLargeBytes = 512;
constexpr size_t kTurnBytes = 1 << 20;
constexpr size_t kKeptCapacityBytes = 4096;
// Inside a large frame, what is worth waking up for: each wake-up costs as much as copying some hundred kilobytes.
constexpr size_t kWorthwhileBytes = 512 << 10;

int32_t readLength(const uint8_t* bytes) {
  return static_cast<int32_t>(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
                              uint32_t{bytes[3]});
}

}  // namespace

FrameReader::Progress FrameReader::receive(bool smallOnly) {
  Progress progress = Progress::kTurnUsed;
  turnBytes_ = 0;
  // What has been read is never left for a later turn: the socket, which may have nothing more, would not cause one.
  while (holdsFrames() || (turnBytes_ < kTurnBytes && !(smallOnly && large_))) {
    if (!(large_ ? receiveLarge(progress) : receiveSmall(progress))) return progress;
  }
  return Progress::kTurnUsed;
}

std::optional<size_t> FrameReader::readSome(void* into, size_t size, Progress& progress) {
  ssize_t count;
  do {
    count = tls_ ? tls_->read(into, size) : recv(fd_, into, size, 0);
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    bytes_ += static_cast<size_t>(count);
    turnBytes_ += static_cast<size_t>(count);
    return static_cast<size_t>(count);
  }
  if (count == 0) {
    size_t partial = large_ ? largeFilled_ + kLengthBytes : kept_.size() - keptOffset_;
    close(partial == 0 ? CloseReason::kPeerClosed : CloseReason::kTruncatedFrame, static_cast<double>(partial),
          progress);
  } else if (errno == EAGAIN) {
    progress = Progress::kDrained;
  } else {
    close(CloseReason::kReset, errno, progress);
  }
  return std::nullopt;
}

bool FrameReader::receiveLarge(Progress& progress) {
  if (largeFilled_ == large_.size()) return finishLarge(progress);
  size_t wanted = std::min(large_.size() - largeFilled_, kTurnBytes);
  std::optional<size_t> count = readSome(large_.data() + largeFilled_, wanted, progress);
  if (!count) return false;
  largeFilled_ += *count;
  if (largeFilled_ == large_.size()) return finishLarge(progress);
  waitFor(large_.size() - largeFilled_);
  progress = Progress::kDrained;
  return *count == wanted;
}

/** Lets the socket become readable only when so much is there, or a worthwhile part of it. */
void FrameReader::waitFor(size_t bytes) {
  if (tls_) return;  // records are taken from the socket one by one
  auto wanted = static_cast<int>(std::min(bytes, kWorthwhileBytes));
  if (wanted == lowWater_) return;
  lowWater_ = wanted;
  setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted);
}

bool FrameReader::receiveSmall(Progress& progress) {
  if (inFlight_.full()) {
    progress = Progress::kLimited;
    return false;
  }
  if (!keptIsParsed_) return parseKept(progress);
  size_t kept = kept_.size() - keptOffset_;
  size_t most = lastWasLarge_ ? kReadAfterLargeBytes : kReadBytes;
  iovec space = inbox_.reserve(kept + kReadAfterLargeBytes, kept + most);
  if (!space.iov_base) {
    progress = Progress::kNoRoom;
    return false;
  }
  auto* data = static_cast<uint8_t*>(space.iov_base);
  size_t wanted = space.iov_len - kept;
  std::optional<size_t> count = readSome(data + kept, wanted, progress);
  if (!count) return false;
  std::memcpy(data, kept_.data() + keptOffset_, kept);
  size_t size = kept + *count;
  Parsed parsed = parse(data, size, true, progress);
  keep(data + parsed.bytes, size - parsed.bytes);
  keptIsParsed_ = (!parsed.stopped && !large_) || kept_.empty();
  if (parsed.stopped) return false;
  progress = Progress::kDrained;
  return *count == wanted || large_;
}

bool FrameReader::parseKept(Progress& progress) {
  Parsed parsed = parse(kept_.data() + keptOffset_, kept_.size() - keptOffset_, false, progress);
  keptOffset_ += parsed.bytes;
  keptIsParsed_ = (!parsed.stopped && !large_) || keptOffset_ == kept_.size();
  return !parsed.stopped;
}

FrameReader::Parsed FrameReader::parse(const uint8_t* data, size_t size, bool inPlace, Progress& progress) {
  size_t position = 0;
  while (size - position >= kLengthBytes && !large_) {
    const uint8_t* header = data + position;
    int32_t signedLength = readLength(header);
    if (!checkLength(header, signedLength, progress)) return {position, true};
    first_ = false;
    auto length = static_cast<uint32_t>(signedLength);
    size_t available = std::min<size_t>(size - position - kLengthBytes, length);
    lastWasLarge_ = length > options_.largeFrameBytes;
    if (!lastWasLarge_ && available < length) break;
    if (inFlight_.full()) {
      progress = Progress::kLimited;
      return {position, true};
    }
    const uint8_t* body = header + kLengthBytes;
    bool done = lastWasLarge_ ? startLarge(length, body, available) : deliver(body, length, inPlace);
    if (!done) {
      progress = Progress::kNoRoom;
      return {position, true};
    }
    position += kLengthBytes + available;
  }
  return {position, false};
}

bool FrameReader::deliver(const uint8_t* body, uint32_t length, bool inPlace) {
  if (!inbox_.hasRoom()) return false;
  if (!inPlace && length > 0) {
    iovec space = inbox_.reserve(length, length);
    if (!space.iov_base) return false;
    std::memcpy(space.iov_base, body, length);
    body = static_cast<uint8_t*>(space.iov_base);
  }
  if (!inFlight_.start(length)) return false;
  inbox_.addFrame(connection_, body, length);
  ++frames_;
  return true;
}

bool FrameReader::checkLength(const uint8_t* header, int32_t length, Progress& progress) {
  if (first_ && header[0] == 0x16 && header[1] == 0x03) return close(CloseReason::kTlsOnPlaintext, length, progress);
  if (length < 0) return close(CloseReason::kNegativeLength, length, progress);
  if (static_cast<uint32_t>(length) > options_.maxFrameBytes) {
    return close(CloseReason::kOversizedFrame, length, progress);
  }
  return true;
}

bool FrameReader::startLarge(uint32_t length, const uint8_t* data, size_t available) {
  if (!inFlight_.start(length)) return false;
  large_ = allocateLarge(length, data, available);
  if (!large_) {
    inFlight_.cancel();
    return false;
  }
  guess_.reset();
  std::memcpy(large_.data(), data, available);
  largeFilled_ = available;
  if (available < length) waitFor(length - available);
  return true;
}

MemoryRef FrameReader::allocateLarge(uint32_t length, const uint8_t* data, size_t available) {
  // Guessed once for a frame, however often it has to wait: each guess moves on where the next records are expected.
  if (!guess_) {
    FrameRecords records{};
    if (options_.locateRecords) records = options_.locateRecords(data, available, length);
    guess_.emplace();
    if (records.length > 0) guess_ = arena_.guesses().guess(records.stream, records.offset, records.length);
  }
  return guess_->length == 0 ? arena_.allocate(length) : arena_.allocateFor(length, *guess_);
}

bool FrameReader::finishLarge(Progress& progress) {
  if (!inbox_.hasRoom()) {
    progress = Progress::kNoRoom;
    return false;
  }
  std::shared_ptr<void> checked;
  if (options_.checkFrame) checked = options_.checkFrame(large_.data(), large_.size());
  if (checked) turnBytes_ += large_.size();  // it took about as long as receiving
  inbox_.addLargeFrame(connection_, {std::move(large_), std::move(checked)});
  ++frames_;
  waitFor(1);
  return true;
}

void FrameReader::abandon() {
  if (!large_) return;
  large_.reset();
  waitFor(1);
  inFlight_.cancel();
}

void FrameReader::keep(const uint8_t* data, size_t size) {
  kept_.assign(data, data + size);
  keptOffset_ = 0;
  // An idle connection does not sit on memory.
  if (size <= kKeptCapacityBytes && kept_.capacity() > kKeptCapacityBytes) kept_.shrink_to_fit();
}

bool FrameReader::close(CloseReason reason, double detail, Progress& progress) {
  closeReason_ = reason;
  closeDetail_ = detail;
  progress = Progress::kClosed;
  return false;
}

}  // namespace kafabric::net
