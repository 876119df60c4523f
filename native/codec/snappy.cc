// Snappy as Kafka uses it: xerial's framing (the Java library's stream format), and bare blocks, which some clients write.
#include <snappy.h>

#include <algorithm>
#include <string>

#include "batch/bytes.h"
#include "codec/codec.h"

namespace kafabric::detail {

namespace {

// Magic, then version 1 and lowest compatible version 1, big-endian.
constexpr uint8_t kXerialHeader[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
constexpr size_t kMagicBytes = 8;
constexpr size_t kBlockBytes = 32 * 1024;  // what the Java client puts into one block

/** No snappy element makes more than 64 bytes of output out of 3 bytes of input. */
constexpr uint64_t kMaxExpansion = 22;

void decompressBlock(const uint8_t* in, size_t length, size_t start, size_t maxBytes, ByteBuffer& out) {
  const char* block = reinterpret_cast<const char*>(in);
  size_t size = 0;
  if (!snappy::GetUncompressedLength(block, length, &size) || size > (uint64_t{length} + 1) * kMaxExpansion)
    throw CodecError("snappy block declares an impossible size");
  if (size > maxBytes - (out.size() - start))
    throw UncompressedTooLarge("uncompressed size is above the limit of " + std::to_string(maxBytes) + " bytes");
  auto* target = reinterpret_cast<char*>(out.reserve(std::max<size_t>(size, 1)));
  if (!snappy::RawUncompress(block, length, target)) throw CodecError("snappy block is corrupt");
  out.commit(size);
}

bool startsWithMagic(const uint8_t* in, size_t length) {
  return length >= kMagicBytes && std::memcmp(in, kXerialHeader, kMagicBytes) == 0;
}

}  // namespace

void snappyDecompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out) {
  size_t start = out.size();
  if (!startsWithMagic(in, length)) return decompressBlock(in, length, start, maxBytes, out);
  const uint8_t* end = in + length;
  while (in < end) {
    auto left = static_cast<size_t>(end - in);
    if (startsWithMagic(in, left)) {  // also between blocks: streams may be concatenated
      if (left < sizeof(kXerialHeader)) throw CodecError("snappy stream ends early");
      // As the Java library: the version must be 1 or later; the lowest compatible one is not looked at.
      if (static_cast<int32_t>(loadBe32(in + kMagicBytes)) < 1) throw CodecError("snappy stream has no valid version");
      in += sizeof(kXerialHeader);
      continue;
    }
    if (left < 4) throw CodecError("snappy stream ends early");
    size_t block = loadBe32(in);
    if (block > left - 4) throw CodecError("snappy stream ends early");
    decompressBlock(in + 4, block, start, maxBytes, out);
    in += 4 + block;
  }
}

void snappyCompress(const uint8_t* in, size_t length, ByteBuffer& out) {
  out.append(kXerialHeader, sizeof(kXerialHeader));
  for (size_t done = 0; done < length; done += kBlockBytes) {
    size_t part = std::min(kBlockBytes, length - done);
    uint8_t* target = out.reserve(4 + snappy::MaxCompressedLength(part));
    size_t size = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(in + done), part, reinterpret_cast<char*>(target + 4), &size);
    storeBe32(target, static_cast<uint32_t>(size));
    out.commit(4 + size);
  }
}

}  // namespace kafabric::detail
