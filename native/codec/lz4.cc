// LZ4 in its frame format. Batches of version 2 carry correct header checksums; the faulty ones of older formats are not read.
#include <lz4frame.h>

#include <string>

#include "codec/codec.h"

namespace kafabric::detail {

namespace {

struct Context {
  LZ4F_dctx* context = nullptr;
  Context() {
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) throw std::bad_alloc();
  }
  ~Context() { LZ4F_freeDecompressionContext(context); }
};

}  // namespace

void lz4Decompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out) {
  Context lz4;
  size_t start = out.size();
  for (;;) {
    size_t room = 0;
    uint8_t* target = roomFor(out, start, maxBytes, room);
    size_t produced = room;
    size_t consumed = length;
    size_t hint = LZ4F_decompress(lz4.context, target, &produced, in, &consumed, nullptr);
    if (LZ4F_isError(hint)) throw CodecError(std::string("LZ4 frame is corrupt: ") + LZ4F_getErrorName(hint));
    out.commit(produced);
    in += consumed;
    length -= consumed;
    if (hint == 0) return;  // the end of the frame; Kafka reads no second one
    if (length == 0 && produced < room) throw CodecError("LZ4 frame ends early");
  }
}

void lz4Compress(const uint8_t* in, size_t length, ByteBuffer& out) {
  LZ4F_preferences_t preferences{};  // independent blocks of 64 KiB without checksums: the Java client's choice
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  size_t bound = LZ4F_compressFrameBound(length, &preferences);
  size_t size = LZ4F_compressFrame(out.reserve(bound), bound, in, length, &preferences);
  if (LZ4F_isError(size)) throw CodecError(std::string("LZ4 compression failed: ") + LZ4F_getErrorName(size));
  out.commit(size);
}

}  // namespace kafabric::detail
