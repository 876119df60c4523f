// Zstandard, as a stream: frames need not say how large their content is, and are not believed if they do.
#include <zstd.h>

#include <memory>
#include <string>

#include "codec/codec.h"

namespace kafabric::detail {

namespace {

/** One for each thread: making one costs more than decompressing a small batch. Large ones are not kept. */
class Decompressor {
 public:
  Decompressor() {
    if (!kept()) kept().reset(ZSTD_createDCtx());
    if (!kept()) throw std::bad_alloc();
    ZSTD_DCtx_reset(kept().get(), ZSTD_reset_session_only);
  }
  ~Decompressor() {
    constexpr size_t kKeepBytes = size_t{4} << 20;
    if (ZSTD_sizeof_DCtx(kept().get()) > kKeepBytes) kept().reset();
  }
  ZSTD_DCtx* context() { return kept().get(); }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  static std::unique_ptr<ZSTD_DCtx, Free>& kept() {
    thread_local std::unique_ptr<ZSTD_DCtx, Free> context;
    return context;
  }
};

}  // namespace

void zstdDecompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out) {
  Decompressor zstd;
  size_t start = out.size();
  ZSTD_inBuffer input{in, length, 0};
  for (;;) {
    size_t room = 0;
    uint8_t* target = roomFor(out, start, maxBytes, room);
    ZSTD_outBuffer output{target, room, 0};
    size_t hint = ZSTD_decompressStream(zstd.context(), &output, &input);
    if (ZSTD_isError(hint)) throw CodecError(std::string("zstd frame is corrupt: ") + ZSTD_getErrorName(hint));
    out.commit(output.pos);
    if (hint == 0 && input.pos == input.size) return;  // frames may be concatenated
    if (input.pos == input.size && output.pos < output.size) throw CodecError("zstd frame ends early");
  }
}

void zstdCompress(const uint8_t* in, size_t length, ByteBuffer& out) {
  size_t bound = ZSTD_compressBound(length);
  size_t size = ZSTD_compress(out.reserve(bound), bound, in, length, ZSTD_CLEVEL_DEFAULT);
  if (ZSTD_isError(size)) throw CodecError(std::string("zstd compression failed: ") + ZSTD_getErrorName(size));
  out.commit(size);
}

}  // namespace kafabric::detail
