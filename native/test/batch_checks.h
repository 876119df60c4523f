// What checks of batches found, compared.
#pragma once

#include "batch/check.h"
#include "test/test.h"

namespace kafabric::test {

/** All but `position` and the reference batch. */
inline void checkSameFindings(const BatchCheck& found, const BatchCheck& expected) {
  CHECK(found.error == expected.error && found.problem == expected.problem);
  CHECK(found.errorRecords == expected.errorRecords);
  CHECK_EQ(found.header.crc, expected.header.crc);
  CHECK_EQ(found.header.recordCount, expected.header.recordCount);
  CHECK_EQ(found.sizeBytes, expected.sizeBytes);
  CHECK_EQ(found.uncompressedBytes, expected.uncompressedBytes);
  CHECK_EQ(found.keyless, expected.keyless);
  CHECK_EQ(found.maxTimestamp, expected.maxTimestamp);
  CHECK_EQ(found.offsetDeltaOfMaxTimestamp, expected.offsetDeltaOfMaxTimestamp);
  CHECK_EQ(found.storedAttributes, expected.storedAttributes);
  CHECK_EQ(found.storedMaxTimestamp, expected.storedMaxTimestamp);
  CHECK_EQ(found.storedCrc, expected.storedCrc);
}

}  // namespace kafabric::test
