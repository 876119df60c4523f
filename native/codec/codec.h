// Kafka's four compression codecs, as record batches of format version 2 use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "codec/buffer.h"

namespace kafabric {

/** The numbers are those of the attributes of a record batch. */
enum class Codec : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
constexpr int kCodecs = 5;

/** The compressed bytes are not what the codec writes, or a codec is not available on this machine. */
struct CodecError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/** The uncompressed bytes are more than the caller allows. */
struct UncompressedTooLarge : CodecError {
  using CodecError::CodecError;
};

/**
 * Appends the uncompressed bytes to `out`. Never writes more than `maxBytes`, whatever the input declares, and
 * allocates in proportion to what is really produced. Throws CodecError, UncompressedTooLarge or std::bad_alloc.
 */
void decompress(Codec codec, const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out);

/** Appends the compressed bytes to `out`, framed as Kafka's Java client does. Throws CodecError or std::bad_alloc. */
void compress(Codec codec, const uint8_t* in, size_t length, ByteBuffer& out);

namespace detail {
/** Grows `out` for a streaming decompressor: returns room of 1 to `maxBytes - produced` bytes in `room`. */
uint8_t* roomFor(ByteBuffer& out, size_t start, size_t maxBytes, size_t& room);

void gzipDecompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out);
void gzipCompress(const uint8_t* in, size_t length, ByteBuffer& out);
void snappyDecompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out);
void snappyCompress(const uint8_t* in, size_t length, ByteBuffer& out);
void lz4Decompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out);
void lz4Compress(const uint8_t* in, size_t length, ByteBuffer& out);
void zstdDecompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out);
void zstdCompress(const uint8_t* in, size_t length, ByteBuffer& out);
}  // namespace detail

}  // namespace kafabric
