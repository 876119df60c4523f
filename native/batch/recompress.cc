#include "batch/recompress.h"

#include <climits>

#include "batch/bytes.h"
#include "batch/header.h"

namespace kafabric {

void recompressBatch(const uint8_t* batch, size_t length, Codec codec, size_t maxUncompressedBytes, ByteBuffer& scratch,
                     ByteBuffer& out) {
  uint16_t attributes = loadBe16(batch + kBatchAttributesAt);
  const uint8_t* section = batch + kBatchHeaderBytes;
  size_t sectionBytes = length - kBatchHeaderBytes;
  int from = attributes & kCompressionMask;
  if (from >= kCodecs) throw CodecError("unknown compression codec");
  if (from != 0) {
    scratch.clear();
    decompress(static_cast<Codec>(from), section, sectionBytes, maxUncompressedBytes, scratch);
    section = scratch.data();
    sectionBytes = scratch.size();
  }
  out.clear();
  out.append(batch, kBatchHeaderBytes);
  compress(codec, section, sectionBytes, out);
  if (out.size() > INT32_MAX) throw CodecError("the recompressed batch is too large");
  storeBe32(out.data() + 8, static_cast<uint32_t>(out.size() - kBatchLogOverhead));
  storeBe16(out.data() + kBatchAttributesAt,
            static_cast<uint16_t>((attributes & ~kCompressionMask) | static_cast<uint16_t>(codec)));
  storeBatchCrc(out.data(), out.size());
}

}  // namespace kafabric
