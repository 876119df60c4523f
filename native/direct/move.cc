#include "direct/move.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "batch/crc32c.h"
#include "batch/reference.h"
#include "direct/guarded_copy.h"

namespace kafabric::direct {

namespace {

/** Large blocks that system calls copy are copied and summed in steps that stay in the cache. */
constexpr size_t kStepBytes = size_t{256} << 10;

/** Takes bytes one behind the other, and passes them on in steps that are worth a system call. */
class RegionWriter {
 public:
  RegionWriter(const Region& region, uint64_t offset) : region_(region), offset_(offset) {}

  int put(const uint8_t* bytes, size_t length) {
    if (length >= kStepBytes / 4) {
      int error = flush();
      return error != 0 ? error : write(bytes, length);
    }
    if (gathered_.size() + length > kStepBytes) {
      int error = flush();
      if (error != 0) return error;
    }
    gathered_.insert(gathered_.end(), bytes, bytes + length);
    return 0;
  }

  int flush() {
    if (gathered_.empty()) return 0;
    int error = write(gathered_.data(), gathered_.size());
    gathered_.clear();
    return error;
  }

 private:
  int write(const uint8_t* bytes, size_t length) {
    int error = region_.write(bytes, length, offset_);
    offset_ += length;
    return error;
  }

  const Region& region_;
  uint64_t offset_;
  std::vector<uint8_t> gathered_;
};

/** Calls `take(bytes, length)` for each step of each block, until it returns an error. */
template <typename Take>
int forEachStep(const Move& move, Take take) {
  for (const Blocks& blocks : move.blocks) {
    const uint8_t* block = move.memory.data() + blocks.offset;
    for (size_t i = 0; i < blocks.count; ++i, block += blocks.stride) {
      for (size_t done = 0; done < blocks.block; done += kStepBytes) {
        int error = take(block + done, std::min(kStepBytes, blocks.block - done));
        if (error != 0) return error;
      }
    }
  }
  return 0;
}

/** Blocks go one behind the other to memory of others. Has nothing to destroy: see guarded_copy.h. */
uint32_t copyBlocks(const Move& move, uint8_t* to) {
  uint32_t crc = 0;
  for (const Blocks& blocks : move.blocks) {
    const uint8_t* block = move.memory.data() + blocks.offset;
    for (size_t i = 0; i < blocks.count; ++i, block += blocks.stride, to += blocks.block) {
      if (i + 1 < blocks.count) expectCopy(block + blocks.stride, blocks.block);
      if (move.checksum) crc = copyForOthers(to, block, blocks.block, crc);
      else copyForOthers(to, block, blocks.block);
    }
  }
  return crc;
}

size_t bytesOf(const Move& move) {
  size_t bytes = 0;
  for (const Blocks& blocks : move.blocks) bytes += blocks.bytes();
  return bytes;
}

Moved push(const Move& move) {
  Moved moved;
  if (uint8_t* pages = move.region->pages()) {
    uint8_t* to = pages + move.targetOffset;
    if (!guarded(to, bytesOf(move), [&] { moved.crc = copyBlocks(move, to); })) moved.error = EFAULT;
    return moved;
  }
  RegionWriter writer(*move.region, move.targetOffset);
  moved.error = forEachStep(move, [&](const uint8_t* bytes, size_t length) {
    if (move.checksum) moved.crc = crc32c(moved.crc, bytes, length);
    return writer.put(bytes, length);
  });
  if (moved.error == 0) moved.error = writer.flush();
  return moved;
}

Moved pull(const Move& move) {
  Moved moved;
  const Blocks& blocks = move.blocks.front();
  uint8_t* into = move.memory.data() + blocks.offset;
  for (size_t done = 0; done < blocks.block && moved.error == 0; done += kStepBytes) {
    size_t length = std::min(kStepBytes, blocks.block - done);
    moved.error = move.region->read(into + done, length, move.targetOffset + done);
    if (moved.error == 0 && move.checksum) moved.crc = crc32c(moved.crc, into + done, length);
  }
  return moved;
}

}  // namespace

Moved perform(const Move& move) {
  if (move.kind == Move::Kind::kPull) return pull(move);
  if (move.kind == Move::Kind::kPush) return push(move);
  Moved moved;
  uint8_t* into = move.kind == Move::Kind::kGather ? move.target.data() + move.targetOffset : nullptr;
  forEachStep(move, [&](const uint8_t* bytes, size_t length) {
    if (move.checksum) moved.crc = crc32c(moved.crc, bytes, length);
    if (into) {
      std::memcpy(into, bytes, length);
      into += length;
    }
    return 0;
  });
  return moved;
}

void expect(const Move& move) {
  if (move.blocks.empty()) return;
  const Blocks& blocks = move.blocks.front();
  if (move.kind != Move::Kind::kPull) expectCopy(move.memory.data() + blocks.offset, blocks.block);
  else if (const uint8_t* pages = move.region->pages()) expectCopy(pages + move.targetOffset, blocks.block);
}

int pullSummed(const Move& move, const uint8_t* section, KnownSums& sums) {
  const uint8_t* from = move.region->pages();
  if (!from) return perform(move).error;
  from += move.targetOffset;
  const Blocks& blocks = move.blocks.front();
  uint8_t* into = move.memory.data() + blocks.offset;
  sums.reserve(blocks.block / kExtentPieceBytes + 2);
  bool copied = guarded(from, blocks.block, [&] {
    for (size_t done = 0; done < blocks.block;) {
      size_t inPiece = static_cast<size_t>(into + done - section) % kExtentPieceBytes;
      size_t length = std::min(kExtentPieceBytes - inPiece, blocks.block - done);
      sums.add(into + done, length, crc32cCopy(0, into + done, from + done, length));
      done += length;
    }
  });
  return copied ? 0 : EFAULT;
}

}  // namespace kafabric::direct
