#include "store/file_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/aligned_memory.h"
#include "store/store.h"

namespace kafabric {

namespace {

/** Pieces cost whoever sends them: where they are more than so many, and smaller than so much on average, they are copied together. */
constexpr size_t kFewPieces = 64;
constexpr size_t kGoodPieceBytes = 32 << 10;
constexpr size_t kJoinedBytes = 1 << 20;
/** How far and in what pieces is read ahead of those who read on: what they take at a time, and enough to keep a disk busy while a piece is sent. */
constexpr uint64_t kLeastAheadBytes = 4 << 20;
constexpr uint64_t kMostAheadBytes = 16 << 20;
constexpr uint64_t kReadAheadPieceBytes = 2 << 20;
/** No reader gets more of the arena ahead, unless it is the least. */
constexpr uint64_t kAheadShare = 32;
constexpr size_t kLookBytes = 256 << 10;

bool tooMany(size_t pieces, size_t bytes) { return pieces > kFewPieces + bytes / kGoodPieceBytes; }

/** Pieces end where the next one can be read without what is before it. */
uint64_t endOfPiece(uint64_t start) { return roundDown(start + kReadAheadPieceBytes + kReadAheadPieceBytes / 2, kReadAheadPieceBytes); }

uint8_t* threadBuffer() {
  thread_local AlignedMemory buffer = allocateAligned(kLookBytes + 2 * kMaxBlockBytes);
  return buffer.get();
}

}  // namespace

FileReader::FileReader(Store& store, Arena& arena)
    : store_(store), arena_(arena), subscription_(arena.subscribe([this] {
        std::lock_guard lock(mutex_);
        ++freed_;
        freedMemory_.notify_all();
      })) {}

FileReader::~FileReader() { arena_.unsubscribe(subscription_); }

void FileReader::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  freedMemory_.notify_all();
}

bool FileReader::find(StoreFile& file, uint64_t position, size_t length, bool checked,
                      std::vector<MemoryPiece>& pieces) {
  bool read = false;
  for (size_t got = 0; got < length;) {
    RangeCache::Found found = store_.cache().find(file.cached(), position + got, length - got);
    if (!found.piece || (checked && !found.checked) || tooMany(pieces.size(), length)) return false;
    read |= !found.appended;
    got += found.piece.length;
    pieces.push_back(std::move(found.piece));
  }
  store_.cache().hit(length);
  if (read) readAhead(file.shared_from_this(), position, position + length);
  return true;
}

ReadPieces FileReader::read(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length,
                            size_t maxPieceBytes, Deadline deadline) {
  ReadPieces result;
  uint64_t missed = 0;
  while (result.length < length) {
    uint64_t at = position + result.length;
    RangeCache::Found found = store_.cache().find(file->cached(), at, length - result.length);
    MemoryPiece piece = std::move(found.piece);
    if (!piece) {
      uint64_t written = file->written();
      if (at >= written) break;
      auto wanted = static_cast<size_t>(std::min<uint64_t>({found.gap, written - at, maxPieceBytes}));
      piece = fill(*file, at, wanted, false, deadline, result.status);
      if (!result.status.ok()) return {result.status, {}, 0};
      if (piece.length == 0) break;  // truncated meanwhile
      missed += piece.length;
    }
    result.length += piece.length;
    result.pieces.push_back(std::move(piece));
  }
  store_.cache().hit(result.length - missed);
  if (missed > 0) {
    store_.cache().missed(missed);
    readAhead(file, position, position + result.length);
  }
  return result;
}

ReadPieces FileReader::readFew(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length,
                               size_t maxPieceBytes, Deadline deadline) {
  ReadPieces result = read(file, position, length, maxPieceBytes, deadline);
  if (!result.status.ok() || !tooMany(result.pieces.size(), result.length)) return result;
  std::vector<MemoryPiece> few;
  for (size_t first = 0; first < result.pieces.size();) {
    size_t end = first;
    size_t bytes = 0;
    while (end < result.pieces.size() && (end == first || bytes + result.pieces[end].length <= kJoinedBytes))
      bytes += result.pieces[end++].length;
    few.push_back(join(result.pieces, first, end, bytes, deadline, result.status));
    if (!few.back()) return {result.status, {}, 0};
    first = end;
  }
  result.pieces = std::move(few);
  return result;
}

/** Copies neighbours together; one alone stays what it is. Empty, with the reason in `status`, when there is no room. */
MemoryPiece FileReader::join(const std::vector<MemoryPiece>& pieces, size_t first, size_t end, size_t bytes,
                             Deadline deadline, IoStatus& status) {
  if (end == first + 1) return pieces[first];
  MemoryRef memory = allocate(std::max<size_t>(bytes, 1), deadline, status);
  if (!memory) return {};
  uint8_t* target = memory.data();
  MemoryPiece joined{std::move(memory), target, bytes};
  for (size_t i = first; i < end; ++i) {
    std::memcpy(target, pieces[i].bytes, pieces[i].length);
    target += pieces[i].length;
  }
  return joined;
}

ReadPieces FileReader::readWhole(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length,
                                 Deadline deadline) {
  ReadPieces result = read(file, position, length, SIZE_MAX, kNow);
  if (result.status.ok()) {
    if (result.pieces.size() == 1) return result;
    MemoryPiece whole = join(result.pieces, 0, result.pieces.size(), result.length, kNow, result.status);
    if (whole) {
      result.pieces.assign(1, std::move(whole));
      return result;
    }
  }
  if (result.status.error != ETIMEDOUT) return {result.status, {}, 0};
  // Nothing is held while memory is waited for: what is in the cache may be all that is in its way.
  result.pieces.clear();
  return readApart(*file, position, length, deadline);
}

/** Into memory that the cache has no part in. */
ReadPieces FileReader::readApart(StoreFile& file, uint64_t position, size_t length, Deadline deadline) {
  uint64_t written = file.written();
  length = position < written ? static_cast<size_t>(std::min<uint64_t>(length, written - position)) : 0;
  ReadPieces result;
  MemoryRef memory = allocate(std::max<size_t>(length, 1), deadline, result.status);
  if (!memory) return result;
  uint8_t* target = memory.data();
  result.status = readInto(file, position, target, length, result.length);
  if (!result.status.ok()) return {result.status, {}, 0};
  result.pieces.push_back({std::move(memory), target, result.length});
  return result;
}

int FileReader::readDevice(StoreFile& file, uint8_t* target, size_t length, uint64_t position, size_t& got) {
  ClientIo::Scope scope(store_.clientIo(), file.handle()->device());
  return readFully(file.handle()->fd(), target, length, position, got);
}

/** Reads from the device into fresh memory, and leaves it in the cache. Less, or nothing, where the file was cut off meanwhile. */
MemoryPiece FileReader::fill(StoreFile& file, uint64_t position, size_t length, bool ahead, Deadline deadline,
                             IoStatus& status) {
  size_t block = file.handle()->blockBytes();
  uint64_t from = block > 0 ? roundDown(position, block) : position;
  uint64_t to = block > 0 ? roundUp(position + length, block) : position + length;
  MemoryRef memory = allocate(static_cast<size_t>(to - from), deadline, status);
  if (!memory) return {};
  auto skip = static_cast<size_t>(position - from);
  for (;;) {
    // In this order: behind a cut the file may hold zeros that belong to nobody.
    uint64_t cuts = store_.cache().cutsOf(file.cached());
    uint64_t written = file.written();
    if (position >= written) return {};
    length = static_cast<size_t>(std::min<uint64_t>(length, written - position));
    size_t got = 0;
    int error = readDevice(file, memory.data(), static_cast<size_t>(to - from), from, got);
    ++store_.counters().reads;
    if (error != 0) {
      status = IoStatus::failure(error, "cannot read", file.handle()->path());
      return {};
    }
    if (store_.cache().cutsOf(file.cached()) != cuts) continue;
    MemoryPiece piece{memory, memory.data() + skip, got > skip ? std::min(length, got - skip) : 0};
    store_.counters().bytesRead += piece.length;
    if (block > 0) store_.cache().addRead(file.cached(), position, piece, cuts, ahead);
    store_.cache().fetched(file.cached(), position, piece.length);
    return piece;
  }
}

void FileReader::readAhead(const std::shared_ptr<StoreFile>& file, uint64_t from, uint64_t to) {
  if (file->handle()->blockBytes() == 0) return;  // the kernel does
  StoreFile::Progress& progress = file->readProgress();
  uint64_t before = progress.end.exchange(to);
  if (from > before || to <= before) return;
  uint64_t most = std::clamp(arena_.capacity() / kAheadShare, kLeastAheadBytes, kMostAheadBytes);
  uint64_t start = std::max(progress.aheadTo.load(), to);
  if (start > to + 2 * most) start = to;  // of another reader
  uint64_t limit = std::min(to + std::clamp(to - from, kLeastAheadBytes, most), file->written());
  bool worth = start < limit && (limit - start >= kReadAheadPieceBytes / 2 || limit == file->written());
  if (!worth) return;
  for (uint64_t end = 0; start < limit; start = end) {
    end = std::min(endOfPiece(start), limit);
    store_.readers().post([this, file, start, end] {
      IoStatus status;  // whoever reads it in earnest hears of it
      for (uint64_t at = start; at < end && status.ok();) {
        auto left = static_cast<size_t>(end - at);
        RangeCache::Found found = store_.cache().peek(file->cached(), at, left);
        if (!found.piece) fill(*file, at, found.gap, true, kNow, status);
        at += found.piece ? found.piece.length : found.gap;
      }
    });
  }
  progress.aheadTo = std::min(start, limit);
}

IoStatus FileReader::readInto(StoreFile& file, uint64_t position, uint8_t* target, size_t length, size_t& got, bool onlyMemory) {
  for (got = 0; got < length;) {
    uint64_t at = position + got;
    RangeCache::Found found = store_.cache().find(file.cached(), at, length - got);
    if (found.piece) {
      std::memcpy(target + got, found.piece.bytes, found.piece.length);
      got += found.piece.length;
      continue;
    }
    uint64_t written = file.written();
    if (onlyMemory || at >= written) break;
    auto wanted = static_cast<size_t>(std::min<uint64_t>({found.gap, written - at, kLookBytes}));
    uint64_t start = roundDown(at, std::max<size_t>(file.handle()->blockBytes(), 1));
    auto skip = static_cast<size_t>(at - start);
    auto whole = static_cast<size_t>(roundUp(skip + wanted, std::max<size_t>(file.handle()->blockBytes(), 1)));
    size_t count = 0;
    int error = readDevice(file, threadBuffer(), whole, start, count);
    ++store_.counters().reads;
    if (error != 0) return IoStatus::failure(error, "cannot read", file.handle()->path());
    if (count <= skip) break;
    count = std::min(count - skip, wanted);
    std::memcpy(target + got, threadBuffer() + skip, count);
    store_.counters().bytesRead += count;
    got += count;
  }
  return {};
}

MemoryRef FileReader::allocate(size_t length, Deadline deadline, IoStatus& status) {
  if (length > arena_.capacity()) {
    status = {ENOMEM, "a read of " + std::to_string(length) + " bytes is larger than the arena"};
    return {};
  }
  bool waited = false;
  for (;;) {
    uint64_t seen = 0;
    {
      std::lock_guard lock(mutex_);
      seen = freed_;
    }
    MemoryRef memory = arena_.allocate(length);
    if (memory) return memory;
    if (!waited && deadline != kNow) ++store_.counters().memoryWaits;
    waited = true;
    std::unique_lock lock(mutex_);
    if (stopping_ || !freedMemory_.wait_until(lock, deadline, [&] { return stopping_ || freed_ != seen; }) || stopping_) {
      status = {stopping_ ? ESHUTDOWN : ETIMEDOUT,
                "no room in the arena for a read of " + std::to_string(length) + " bytes"};
      return {};
    }
  }
}

}  // namespace kafabric
