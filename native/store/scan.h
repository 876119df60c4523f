// Finds the record batches in a range of a file, by their headers.
#pragma once

#include <cstdint>
#include <vector>

#include "batch/header.h"
#include "store/io.h"

namespace kafabric {

class FileReader;
class StoreFile;

/** Why a scan ended; the numbers are those of src/native/store.ts. */
enum class ScanEnd : uint8_t {
  limit = 0,    // as many batches or bytes as were asked for
  endOfFile,    // behind the last batch
  torn,         // the last batch is not there to its end
  zeros,        // only zeros follow, as in a preallocated file
  corrupt,      // what follows is no batch of version 2, or its CRC is wrong
};

struct ScannedBatch {
  BatchHeader header;
  uint64_t position;
};

struct ScanResult {
  std::vector<ScannedBatch> batches;
  uint64_t end = 0;  // of the last batch that was accepted
  ScanEnd reason = ScanEnd::limit;
  IoStatus status;  // of a failed read
};

struct ScanRange {
  uint64_t position;     // where a batch starts
  uint64_t maxBytes;     // batches that start before position + maxBytes
  uint64_t fileBytes;    // what lies behind is not looked at
  size_t maxBatches;
  bool verifyCrc;
  bool onlyMemory;       // never blocks: EAGAIN when something is not in memory, or takes long
};

/** Blocks, unless only memory is looked at. Reads little more than headers, unless the CRC is to be verified. */
ScanResult scanBatches(FileReader& reader, StoreFile& file, const ScanRange& range);

}  // namespace kafabric
