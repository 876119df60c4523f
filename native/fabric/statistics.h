// What a transport has done, in all and for each peer.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace kafabric::fabric {

/** How long requests took: bucket i counts those of less than 2^i microseconds (and at least half of that), the last one all others. */
struct LatencyHistogram {
  static constexpr size_t kBuckets = 28;  // up to a minute

  std::array<uint64_t, kBuckets> counts{};
  uint64_t microseconds = 0;  // all of them together

  void add(std::chrono::steady_clock::duration latency) {
    int64_t took = std::chrono::duration_cast<std::chrono::microseconds>(latency).count();
    size_t bucket = 0;
    while (bucket < kBuckets - 1 && took >= (int64_t{1} << bucket)) ++bucket;
    ++counts[bucket];
    microseconds += static_cast<uint64_t>(std::max<int64_t>(took, 0));
  }
};

struct TransferStatistics {
  uint64_t bytesRead = 0;     // from peers' memory
  uint64_t bytesWritten = 0;  // into peers' memory
  uint64_t operations = 0;    // pieces that were transferred
  uint64_t requests = 0;      // requests that ended well
  uint64_t errors = 0;        // requests that failed, for whatever reason but cancellation
  uint64_t timeouts = 0;      // those of them that reached their deadline
  uint64_t cancelled = 0;
  uint64_t retries = 0;  // pieces that were sent again after an interruption
  LatencyHistogram latency;
};

}  // namespace kafabric::fabric
