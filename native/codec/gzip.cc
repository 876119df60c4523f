// gzip through zlib, which is found at run time: Node's own copy, else the system's. So no header or library of zlib is
// needed to build; the few declarations below are its stable binary interface.
#include <dlfcn.h>

#include <algorithm>
#include <string>

#include "codec/codec.h"

namespace kafabric::detail {

namespace {

struct ZStream {
  const uint8_t* nextIn;
  unsigned availIn;
  unsigned long totalIn;
  uint8_t* nextOut;
  unsigned availOut;
  unsigned long totalOut;
  const char* message;
  void* state;
  void* (*allocate)(void*, unsigned, unsigned);
  void (*release)(void*, void*);
  void* opaque;
  int dataType;
  unsigned long adler;
  unsigned long reserved;
};

constexpr int kOk = 0;
constexpr int kStreamEnd = 1;
constexpr int kBufferError = -5;
constexpr int kNoFlush = 0;
constexpr int kFinish = 4;
constexpr int kDeflated = 8;
constexpr int kGzipWindowBits = 15 + 16;  // the largest window, with the gzip wrapper
constexpr int kMemoryLevel = 8;
constexpr int kDefaultLevel = -1;
constexpr const char* kVersion = "1.2.11";  // zlib compares the first digit

struct Zlib {
  int (*inflateInit2)(ZStream*, int windowBits, const char* version, int streamSize) = nullptr;
  int (*inflate)(ZStream*, int flush) = nullptr;
  int (*inflateReset)(ZStream*) = nullptr;
  int (*inflateEnd)(ZStream*) = nullptr;
  int (*deflateInit2)(ZStream*, int level, int method, int windowBits, int memoryLevel, int strategy,
                      const char* version, int streamSize) = nullptr;
  int (*deflate)(ZStream*, int flush) = nullptr;
  int (*deflateEnd)(ZStream*) = nullptr;

  bool resolve(void* library, const std::string& prefix) {
    auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, (prefix + name).c_str()));
      return function != nullptr;
    };
    return find(inflateInit2, "inflateInit2_") && find(inflate, "inflate") && find(inflateReset, "inflateReset") &&
           find(inflateEnd, "inflateEnd") && find(deflateInit2, "deflateInit2_") && find(deflate, "deflate") &&
           find(deflateEnd, "deflateEnd");
  }

  static Zlib load() {
    Zlib z;
    // Node builds Chromium's zlib, which may prefix its names; unprefixed ones may then belong to another copy.
    if (z.resolve(RTLD_DEFAULT, "Cr_z_") || z.resolve(RTLD_DEFAULT, "")) return z;
    void* library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library && z.resolve(library, "")) return z;
    throw CodecError(
        "gzip needs zlib, which is neither in this program nor installed: install the package zlib1g (Debian, Ubuntu) "
        "or zlib (Fedora, RHEL)");
  }
};

const Zlib& zlib() {
  static const Zlib instance = Zlib::load();
  return instance;
}

std::string problem(const ZStream& stream, const char* what) {
  return std::string(what) + (stream.message ? std::string(": ") + stream.message : std::string());
}

struct Inflater {
  ZStream stream{};
  Inflater() {
    if (zlib().inflateInit2(&stream, kGzipWindowBits, kVersion, sizeof(ZStream)) != kOk)
      throw CodecError(problem(stream, "zlib refused to start"));
  }
  ~Inflater() { zlib().inflateEnd(&stream); }
};

struct Deflater {
  ZStream stream{};
  Deflater() {
    if (zlib().deflateInit2(&stream, kDefaultLevel, kDeflated, kGzipWindowBits, kMemoryLevel, 0, kVersion,
                            sizeof(ZStream)) != kOk)
      throw CodecError(problem(stream, "zlib refused to start"));
  }
  ~Deflater() { zlib().deflateEnd(&stream); }
};

constexpr size_t kMaxStep = 1u << 30;  // zlib counts in unsigned int

/** Gives the stream the next part of the input; true while there is some. */
void feed(ZStream& stream, const uint8_t*& in, const uint8_t* end) {
  if (stream.availIn > 0 || in == end) return;
  size_t step = std::min<size_t>(kMaxStep, static_cast<size_t>(end - in));
  stream.nextIn = in;
  stream.availIn = static_cast<unsigned>(step);
  in += step;
}

}  // namespace

void gzipDecompress(const uint8_t* in, size_t length, size_t maxBytes, ByteBuffer& out) {
  Inflater inflater;
  ZStream& stream = inflater.stream;
  const uint8_t* end = in + length;
  size_t start = out.size();
  for (;;) {
    feed(stream, in, end);
    size_t room = 0;
    stream.nextOut = roomFor(out, start, maxBytes, room);
    stream.availOut = static_cast<unsigned>(std::min(room, kMaxStep));
    unsigned offered = stream.availOut;
    int status = zlib().inflate(&stream, kNoFlush);
    out.commit(offered - stream.availOut);
    size_t left = stream.availIn + static_cast<size_t>(end - in);
    if (status == kStreamEnd) {
      // A gzip file may have several members; what follows the last one is ignored, as Java's GZIPInputStream does.
      if (left < 2 || stream.availIn < 2 || stream.nextIn[0] != 0x1f || stream.nextIn[1] != 0x8b) return;
      zlib().inflateReset(&stream);
    } else if (status == kOk || status == kBufferError) {
      if (left == 0 && stream.availOut > 0) throw CodecError("gzip stream ends early");
    } else {
      throw CodecError(problem(stream, "gzip stream is corrupt"));
    }
  }
}

void gzipCompress(const uint8_t* in, size_t length, ByteBuffer& out) {
  Deflater deflater;
  ZStream& stream = deflater.stream;
  const uint8_t* end = in + length;
  for (int status = kOk; status != kStreamEnd;) {
    feed(stream, in, end);
    constexpr unsigned kRoom = 64 * 1024;
    stream.nextOut = out.reserve(kRoom);
    stream.availOut = kRoom;
    status = zlib().deflate(&stream, in == end ? kFinish : kNoFlush);
    out.commit(kRoom - stream.availOut);
    if (status != kOk && status != kStreamEnd && status != kBufferError)
      throw CodecError(problem(stream, "gzip compression failed"));
  }
}

}  // namespace kafabric::detail
