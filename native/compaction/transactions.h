// What compaction must know of transactions while it goes through a log: whose records were aborted, and which markers still have something
// to say. The rules are those of Kafka's CleanedTransactionMetadata.
#pragma once

#include <cstdint>
#include <map>
#include <queue>
#include <unordered_set>
#include <vector>

#include "batch/header.h"

namespace kafabric {

/** An entry of a transaction index. */
struct AbortedTransaction {
  int64_t producerId;
  int64_t firstOffset;
  int64_t lastOffset;  // of the marker
  int64_t lastStableOffset;
};

enum class MarkerType : uint8_t { abort, commit, other, none };

/** What the first record of an uncompressed control batch says; `none` when there is no record. */
MarkerType markerOf(const uint8_t* batch, const BatchHeader& header);

class CleanedTransactions {
 public:
  /** All that have records from the first batch on that is read, in any order. */
  explicit CleanedTransactions(std::vector<AbortedTransaction> aborted);

  /** Batches are read in the order of their offsets. True when this one belongs to an aborted transaction. */
  bool onData(const BatchHeader& header);
  /** True when no batch was read of the transaction that the marker ends, so that nothing needs it. */
  bool onMarker(const BatchHeader& header, MarkerType type);
  /** The aborted transactions of which batches were read, in the order of their markers; forgets them. */
  std::vector<AbortedTransaction> takeKept();

 private:
  struct Ongoing {
    AbortedTransaction transaction;
    bool seen = false;
  };
  struct StartsLater {
    bool operator()(const AbortedTransaction& a, const AbortedTransaction& b) const { return a.firstOffset > b.firstOffset; }
  };
  void beginUpTo(int64_t offset);

  std::priority_queue<AbortedTransaction, std::vector<AbortedTransaction>, StartsLater> waiting_;
  std::map<int64_t, Ongoing> aborted_;        // by producer id
  std::unordered_set<int64_t> committed_;  // producer ids whose transaction was not aborted
  std::vector<AbortedTransaction> kept_;
};

}  // namespace kafabric
