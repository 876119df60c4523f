#include "codec/codec.h"

#include <algorithm>
#include <string>

namespace kafabric {

namespace detail {

uint8_t* roomFor(ByteBuffer& out, size_t start, size_t maxBytes, size_t& room) {
  constexpr size_t kMinRoom = 16 * 1024;
  size_t produced = out.size() - start;
  // One byte more than allowed: a stream that ends exactly at the limit must be able to say so without output.
  size_t left = maxBytes - produced + 1;
  if (produced > maxBytes)
    throw UncompressedTooLarge("uncompressed size is above the limit of " + std::to_string(maxBytes) + " bytes");
  size_t wanted = std::min(left, std::max(kMinRoom, produced));
  uint8_t* at = out.reserve(wanted);
  room = std::min(left, out.capacity() - out.size());
  return at;
}

}  // namespace detail

void decompress(Codec codec, const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out) {
  size_t start = out.size();
  switch (codec) {
    case Codec::none:
      if (length <= maxBytes) out.append(in, length);
      else throw UncompressedTooLarge("size is above the limit of " + std::to_string(maxBytes) + " bytes");
      break;
    case Codec::gzip: detail::gzipDecompress(in, length, maxBytes, out); break;
    case Codec::snappy: detail::snappyDecompress(in, length, maxBytes, out); break;
    case Codec::lz4: detail::lz4Decompress(in, length, maxBytes, out); break;
    case Codec::zstd: detail::zstdDecompress(in, length, maxBytes, out); break;
    default: throw CodecError("unknown compression codec " + std::to_string(static_cast<int>(codec)));
  }
  if (out.size() - start > maxBytes)
    throw UncompressedTooLarge("uncompressed size is above the limit of " + std::to_string(maxBytes) + " bytes");
}

void compress(Codec codec, const uint8_t* in, size_t length, ByteBuffer& out) {
  switch (codec) {
    case Codec::none: out.append(in, length); break;
    case Codec::gzip: detail::gzipCompress(in, length, out); break;
    case Codec::snappy: detail::snappyCompress(in, length, out); break;
    case Codec::lz4: detail::lz4Compress(in, length, out); break;
    case Codec::zstd: detail::zstdCompress(in, length, out); break;
    default: throw CodecError("unknown compression codec " + std::to_string(static_cast<int>(codec)));
  }
}

}  // namespace kafabric
