#include "compaction/transactions.h"

#include <utility>

#include "batch/bytes.h"
#include "batch/record.h"

namespace kafabric {

MarkerType markerOf(const uint8_t* batch, const BatchHeader& header) {
  if (header.recordCount <= 0) return MarkerType::none;
  RecordCursor cursor(batch + kBatchHeaderBytes, header.sizeBytes() - kBatchHeaderBytes);
  Record record;
  if (cursor.next(record) != RecordFault::none || record.keyLength < 4) return MarkerType::other;
  switch (loadBe16(record.key + 2)) {
    case 0: return MarkerType::abort;
    case 1: return MarkerType::commit;
    default: return MarkerType::other;
  }
}

CleanedTransactions::CleanedTransactions(std::vector<AbortedTransaction> aborted) : waiting_(StartsLater{}, std::move(aborted)) {}

void CleanedTransactions::beginUpTo(int64_t offset) {
  for (; !waiting_.empty() && waiting_.top().firstOffset <= offset; waiting_.pop())
    aborted_.emplace(waiting_.top().producerId, Ongoing{waiting_.top()});
}

bool CleanedTransactions::onData(const BatchHeader& header) {
  beginUpTo(header.baseOffset + header.lastOffsetDelta);
  if (!(header.attributes & kTransactionalBit)) return false;
  auto found = aborted_.find(header.producerId);
  if (found == aborted_.end()) {
    committed_.insert(header.producerId);
    return false;
  }
  found->second.seen = true;
  return true;
}

bool CleanedTransactions::onMarker(const BatchHeader& header, MarkerType type) {
  beginUpTo(header.baseOffset + header.lastOffsetDelta);
  if (type == MarkerType::none) return true;
  if (type == MarkerType::commit) return committed_.erase(header.producerId) == 0;
  if (type != MarkerType::abort) return false;
  auto found = aborted_.find(header.producerId);
  if (found == aborted_.end()) return true;
  Ongoing ended = found->second;
  aborted_.erase(found);
  if (ended.seen) kept_.push_back(ended.transaction);
  return !ended.seen;
}

std::vector<AbortedTransaction> CleanedTransactions::takeKept() { return std::exchange(kept_, {}); }

}  // namespace kafabric
