#include "net/frame_reader.h"

#include <sys/ioctl.h>
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
// Inside a large frame, what is worth waking up for: each wake-up costs as much as copying some hundred kilobytes. What a turn can read
// is waited for as a whole.
constexpr size_t kWorthwhileBytes = 512 << 10;
// Of a frame that comes alone: nothing else needs the processor, and its sender goes on while this is copied.
constexpr size_t kWorthwhileAloneBytes = 256 << 10;

int32_t readLength(const uint8_t* bytes) {
  return static_cast<int32_t>(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
                              uint32_t{bytes[3]});
}

}  // namespace

FrameReader::Progress FrameReader::receive(bool smallOnly) {
  Progress progress = receiveTurn(smallOnly);
  if (progress != Progress::kClosed) waitFor(missing());
  return progress;
}

FrameReader::Progress FrameReader::receiveTurn(bool smallOnly) {
  Progress progress = Progress::kTurnUsed;
  turnBytes_ = 0;
  // What has been read is never left for a later turn: the socket, which may have nothing more, would not cause one.
  while (holdsFrames() || (turnBytes_ < kTurnBytes && !(smallOnly && expectsLarge()))) {
    if (!(large_ ? receiveLarge(progress) : receiveSmall(progress))) return progress;
  }
  return Progress::kTurnUsed;
}

std::optional<size_t> FrameReader::readSome(void* into, size_t size, Progress& progress) {
  ssize_t count;
  do {
    count = tls_ ? tls_->read(into, size) : recv(fd_, into, size, 0);
  } while (count < 0 && errno == EINTR);
  return received(count, progress);
}

std::optional<size_t> FrameReader::readSome(iovec first, iovec second, Progress& progress) {
  if (tls_ || second.iov_len == 0) return readSome(first.iov_base, first.iov_len, progress);
  iovec parts[] = {first, second};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  ssize_t count;
  do {
    count = recvmsg(fd_, &message, 0);
  } while (count < 0 && errno == EINTR);
  return received(count, progress);
}

std::optional<size_t> FrameReader::received(ssize_t count, Progress& progress) {
  if (count > 0) {
    unread_ = 0;
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
  size_t left = large_.size() - largeFilled_;
  size_t wanted = std::min(left, kTurnBytes);
  // With its end comes the beginning of the next frame, which says how much of that to wait for.
  uint8_t next[kReadAfterLargeBytes];
  iovec behind{next, wanted == left ? sizeof next : 0};
  std::optional<size_t> count = readSome({large_.data() + largeFilled_, wanted}, behind, progress);
  if (!count) return false;
  size_t filled = std::min(*count, wanted);
  largeFilled_ += filled;
  sumParts();
  if (*count > filled) {
    keep(next, *count - filled);
    keptIsParsed_ = false;
  }
  if (largeFilled_ == large_.size()) return finishLarge(progress);
  progress = Progress::kDrained;
  return filled == wanted;
}

size_t FrameReader::missing() const {
  if (large_) return std::max<size_t>(large_.size() - largeFilled_, 1);
  return std::max<size_t>(deferred_, 1);
}

void FrameReader::waitFor(size_t bytes) {
  if (tls_) return;  // records are taken from the socket one by one
  size_t wanted = bytes;
  if (alone_) wanted = std::min(bytes, kWorthwhileAloneBytes);
  else if (bytes > kTurnBytes) wanted = kWorthwhileBytes;
  if (wanted == lowWater_) return;
  lowWater_ = wanted;
  // All of a frame that comes alone has room: its sender does not wait for what is being copied.
  size_t room = alone_ ? bytes : wanted;
  if (room > roomFor_) {
    // Makes the kernel's buffer larger for good. One that is nearly full is readable as well, and it is then with all of what is waited for.
    roomFor_ = room + room / 4;
    setLowWater(roomFor_);
  }
  setLowWater(wanted);
}

void FrameReader::setLowWater(size_t bytes) {
  int value = static_cast<int>(bytes);
  setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value);
}

bool FrameReader::moreSoon() const { return !large_ && deferred_ > 0 && deferred_ <= kTurnBytes; }

bool FrameReader::unreadGrew() {
  int before = unread_;
  return ioctl(fd_, FIONREAD, &unread_) == 0 && unread_ > before;
}

bool FrameReader::cutShort() {
  int unread = 0;
  if (!ended_ || deferred_ == 0 || ioctl(fd_, FIONREAD, &unread) != 0 || static_cast<size_t>(unread) >= deferred_) return false;
  closeReason_ = CloseReason::kTruncatedFrame;
  closeDetail_ = static_cast<double>(kept_.size() - keptOffset_ + static_cast<size_t>(unread));
  return true;
}

bool FrameReader::receiveSmall(Progress& progress) {
  if (inFlight_.full()) {
    progress = Progress::kLimited;
    return false;
  }
  if (cutShort()) {
    progress = Progress::kClosed;
    return false;
  }
  if (!keptIsParsed_ || deferred_ > 0) return parseKept(progress);
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
  keptIsParsed_ = deferred_ > 0 || (!parsed.stopped && !large_) || kept_.empty();
  if (parsed.stopped) return false;
  progress = Progress::kDrained;
  return *count == wanted || large_;
}

bool FrameReader::parseKept(Progress& progress) {
  Parsed parsed = parse(kept_.data() + keptOffset_, kept_.size() - keptOffset_, false, progress);
  keptOffset_ += parsed.bytes;
  keptIsParsed_ = deferred_ > 0 || (!parsed.stopped && !large_) || keptOffset_ == kept_.size();
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
    if (lastWasLarge_ && available < length && !inFlight_.largeArrives()) {
      alone_ = inFlight_.largeBegins() && length <= kTurnBytes;
    }
    if (lastWasLarge_ && deferred_ == 0 && available < length && !alone_ && !tls_) {
      deferred_ = length - available;
      progress = Progress::kDrained;
      return {position, true};
    }
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
  // It is worth the look only where memory is being placed.
  if (inbox_.largeLately()) noteArrival(body, length, 0);
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
  // What the kernel was to wait for is there.
  bool arriving = length - available > (tls_ ? 0 : kTurnBytes);
  if (!(arriving ? inFlight_.startArriving(length) : inFlight_.start(length))) return false;
  large_ = allocateLarge(length, data, available);
  if (!large_) {
    inFlight_.cancel();
    return false;
  }
  deferred_ = 0;
  // What comes at once is in the cache when it is checked.
  summed_ = arriving && options_.partSums.from ? options_.partSums.from(data, available, length) : 0;
  std::memcpy(large_.data(), data, available);
  largeFilled_ = available;
  return true;
}

MemoryRef FrameReader::allocateLarge(uint32_t length, const uint8_t* data, size_t available) {
  FrameRecords records{};
  bool located = options_.locateRecords && options_.locateRecords(data, available, length, &records, 1) > 0;
  if (!located) return arena_.allocate(length);
  return arena_.allocateFor(length, arena_.guesses().guess(records.stream, records.offset, records.length));
}

void FrameReader::sumParts() {
  const PartSums& sums = options_.partSums;
  for (; summed_ > 0 && summed_ + sums.partBytes <= largeFilled_; summed_ += sums.partBytes) {
    const uint8_t* part = large_.data() + summed_;
    parts_.push_back({part, sums.partBytes, sums.sum(part, sums.partBytes)});
  }
}

bool FrameReader::finishLarge(Progress& progress) {
  if (!inbox_.hasRoom()) {
    progress = Progress::kNoRoom;
    return false;
  }
  inFlight_.arrived();
  noteArrival(large_.data(), large_.size(), large_.arrived() ? 1 : 0);
  std::shared_ptr<void> checked;
  if (options_.checkFrame) checked = options_.checkFrame(large_.data(), large_.size(), parts_);
  parts_ = {};
  if (checked) turnBytes_ += large_.size();  // it took about as long as receiving
  inFlight_.largeEnds();
  alone_ = false;
  inbox_.addLargeFrame(connection_, {std::move(large_), std::move(checked)});
  ++frames_;
  return true;
}

void FrameReader::noteArrival(const uint8_t* frame, size_t length, size_t placed) {
  if (!options_.locateRecords) return;
  FrameRecords found[kMostLocated];
  size_t count = options_.locateRecords(frame, length, length, found, kMostLocated);
  for (size_t i = placed; i < count; ++i) arena_.guesses().arrive(found[i].stream, found[i].length);
}

void FrameReader::abandon() {
  deferred_ = 0;
  inFlight_.largeEnds();
  alone_ = false;
  if (!large_) return;
  large_.reset();
  parts_ = {};
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
