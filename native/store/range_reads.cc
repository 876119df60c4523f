#include "store/range_reads.h"

#include <algorithm>
#include <cerrno>

#include "batch/crc32c.h"
#include "store/aligned_memory.h"
#include "store/store.h"

namespace kafabric {

namespace {

/** What is read at once; more is shared among the threads. */
constexpr uint64_t kRunBytes = 4 << 20;
/** Extents follow each other with gaps below this. */
constexpr uint64_t kGapBytes = 2 * kMaxBlockBytes;

uint64_t endOf(const ReadRange& range) { return range.position + range.length; }

/** The part of a read from `start` on that a range is, if that is in one piece. */
MemoryPiece partOf(const ReadPieces& read, uint64_t start, const ReadRange& range) {
  for (const MemoryPiece& piece : read.pieces) {
    uint64_t end = start + piece.length;
    if (range.position < end)
      return endOf(range) <= end ? MemoryPiece{piece.memory, piece.bytes + (range.position - start), range.length} : MemoryPiece{};
    start = end;
  }
  return {};
}

}  // namespace

RangeReads::RangeReads(Store& store, std::shared_ptr<StoreFile> file, std::vector<ReadRange> ranges, FileReader::Deadline deadline,
                       Done done)
    : store_(store),
      file_(std::move(file)),
      ranges_(std::move(ranges)),
      deadline_(deadline),
      done_(std::move(done)),
      results_(ranges_.size()),
      missing_(ranges_.size()) {}

void RangeReads::start() {
  if (ranges_.empty()) done_({});
  for (size_t first = 0, end = 0; first < ranges_.size(); first = end) {
    end = endOfRun(first);
    auto task = [self = shared_from_this(), first, end] { self->readRun(first, end); };
    if (!store_.readers().post(std::move(task))) refuseRun(first, end);
  }
}

size_t RangeReads::endOfRun(size_t first) const {
  size_t end = first + 1;
  // The kernel has what is read through its cache.
  if (file_->handle()->blockBytes() == 0) return end;
  for (; end < ranges_.size(); ++end) {
    uint64_t before = endOf(ranges_[end - 1]);
    const ReadRange& next = ranges_[end];
    if (next.position < before || next.position - before > kGapBytes) break;
    if (endOf(next) - ranges_[first].position > kRunBytes) break;
  }
  return end;
}

void RangeReads::readRun(size_t first, size_t end) {
  uint64_t cuts = store_.cache().cutsOf(file_->cached());
  uint64_t start = ranges_[first].position;
  ReadPieces run;
  if (end - first > 1)
    run = store_.reader().read(file_, start, static_cast<size_t>(endOf(ranges_[end - 1]) - start), SIZE_MAX, FileReader::kNow);
  for (size_t i = first; i < end; ++i) results_[i].piece = partOf(run, start, ranges_[i]);
  run.pieces.clear();
  for (size_t i = first; i < end; ++i) {
    // Alone it may be readable, or have room.
    if (!results_[i].piece) results_[i] = readAlone(ranges_[i]);
    check(ranges_[i], results_[i], cuts);
  }
  ended(end - first);
}

RangeRead RangeReads::readAlone(const ReadRange& range) {
  ReadPieces read = store_.reader().readWhole(file_, range.position, range.length, deadline_);
  RangeRead result{std::move(read.status), {}, 0};
  if (!read.pieces.empty()) result.piece = std::move(read.pieces[0]);
  return result;
}

void RangeReads::check(const ReadRange& range, RangeRead& read, uint64_t cuts) {
  if (!range.seed) return;
  read.crc = crc32c(*range.seed, read.piece.bytes, read.piece.length);
  bool isRight = read.piece.length == range.length && read.crc == range.expected;
  // Without direct I/O the kernel keeps what was read.
  if (isRight && file_->handle()->blockBytes() > 0) store_.cache().addChecked(file_->cached(), range.position, read.piece, cuts);
}

void RangeReads::refuseRun(size_t first, size_t end) {
  for (size_t i = first; i < end; ++i) results_[i].status = {ESHUTDOWN, "the store is shut down: " + file_->handle()->path()};
  ended(end - first);
}

void RangeReads::ended(size_t ranges) {
  if (missing_.fetch_sub(ranges) == ranges) done_(std::move(results_));
}

}  // namespace kafabric
