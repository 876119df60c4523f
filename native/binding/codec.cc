// Compression for JavaScript: at once for small inputs, on a worker thread for large ones.
#include "binding/codec.h"

#include <cerrno>
#include <memory>
#include <vector>

#include "binding/completions.h"
#include "binding/workers.h"
#include "codec/codec.h"

namespace kafabric::binding {

namespace {

constexpr double kMaxUncompressedBytes = 2147483647;

Codec codecOf(const Napi::Value& value) {
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number < kCodecs)) throw Napi::RangeError::New(value.Env(), "unknown compression codec");
  return static_cast<Codec>(static_cast<int>(number));
}

size_t limitOf(const Napi::Value& value) {
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= kMaxUncompressedBytes))
    throw Napi::RangeError::New(value.Env(), "maxUncompressedBytes out of range");
  return static_cast<size_t>(number);
}

Napi::Value toUint8Array(Napi::Env env, const ByteBuffer& bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (bytes.size() > 0) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

/** A job is one direction of one codec. */
struct Job {
  bool compressing;
  Codec codec;
  size_t maxBytes;

  void run(const uint8_t* in, size_t length, ByteBuffer& out) const {
    if (compressing) compress(codec, in, length, out);
    else decompress(codec, in, length, maxBytes, out);
  }
};

Job jobOf(const Napi::CallbackInfo& info) {
  return {info[0].As<Napi::Boolean>().Value(), codecOf(info[1]), limitOf(info[2])};
}

// (compressing, codec, maxUncompressedBytes, bytes)
Napi::Value runSync(const Napi::CallbackInfo& info) {
  Job job = jobOf(info);
  auto in = info[3].As<Napi::Uint8Array>();
  ByteBuffer out;
  try {
    job.run(in.Data(), in.ByteLength(), out);
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
  return toUint8Array(info.Env(), out);
}

// (compressing, codec, maxUncompressedBytes, bytes, id): the input is copied, since JavaScript may change it meanwhile.
void runAsync(const Napi::CallbackInfo& info) {
  Job job = jobOf(info);
  auto array = info[3].As<Napi::Uint8Array>();
  auto in = std::make_shared<ByteBuffer>();
  in->append(array.Data(), array.ByteLength());
  double id = info[4].As<Napi::Number>().DoubleValue();
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [job, in, id, &completions] {
    Completion done;
    done.id = id;
    auto out = std::make_shared<ByteBuffer>();
    try {
      job.run(in->data(), in->size(), *out);
      done.result = [out](Napi::Env env) { return toUint8Array(env, *out); };
    } catch (const std::exception& error) {
      done.error = EINVAL;
      done.message = error.what();
    }
    completions.push(std::move(done));
  });
}

}  // namespace

void initCodec(Napi::Env env, Napi::Object exports) {
  exports["codecRun"] = Napi::Function::New(env, runSync, "codecRun");
  exports["codecRunAsync"] = Napi::Function::New(env, runAsync, "codecRunAsync");
}

}  // namespace kafabric::binding
