// The headers of large batches that were read, and checked, while the map was made: of which nothing is left then need not be read again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "batch/header.h"

namespace kafabric {

struct CheckedBatch {
  uint64_t position;  // in its file
  uint8_t header[kBatchHeaderBytes];
};

class CheckedBatches {
 public:
  /** Smaller ones are read with their neighbours. */
  static constexpr size_t kMinBytes = size_t{32} << 10;
  /** Memory for all of them; more are not noted. */
  static constexpr size_t kMaxBytes = size_t{8} << 20;

  /** In the order of their positions. Throws std::bad_alloc. */
  void note(const std::string& path, uint64_t position, const uint8_t* batch, const BatchHeader& header) {
    if (header.sizeBytes() < kMinBytes || count_ == kMaxBytes / sizeof(CheckedBatch)) return;
    CheckedBatch& noted = byPath_[path].emplace_back();
    noted.position = position;
    std::memcpy(noted.header, batch, kBatchHeaderBytes);
    ++count_;
  }

  /** Forgets the others. */
  template <typename IsWanted>
  void keepIf(IsWanted isWanted) {
    for (auto& [path, batches] : byPath_) {
      auto goes = [&](const CheckedBatch& batch) { return !isWanted(BatchHeader::read(batch.header)); };
      batches.erase(std::remove_if(batches.begin(), batches.end(), goes), batches.end());
    }
  }

  const std::vector<CheckedBatch>& of(const std::string& path) const {
    static const std::vector<CheckedBatch> none;
    auto found = byPath_.find(path);
    return found == byPath_.end() ? none : found->second;
  }

 private:
  std::unordered_map<std::string, std::vector<CheckedBatch>> byPath_;
  size_t count_ = 0;
};

}  // namespace kafabric
