// Loops are named by numbers, like transports. Each runs on a worker, one run at a time.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <unordered_map>

#include "binding/arena.h"
#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/environment.h"
#include "binding/fabric.h"
#include "binding/workers.h"

namespace kafabric::binding {

using namespace fabric;

namespace {

constexpr double kLongestMs = 2000;

struct Loops {
  std::unordered_map<uint64_t, std::shared_ptr<BareLoop>> loops;
  uint64_t next = 1;

  static Loops& of(Napi::Env env) { return Environment::of(env).part<Loops>(); }
};

double milliseconds(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

// (transport, id); completes with [loop, offer].
void open(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, &completions, loop = transportAt(info).bareLoop()] {
    std::string offer;
    IoStatus status = loop->open(offer);
    completions.push({id, status.error, status.message, [loop, offer](Napi::Env env) -> Napi::Value {
                        Loops& all = Loops::of(env);
                        Napi::Array result = Napi::Array::New(env, 2);
                        result[0u] = static_cast<double>(all.next);
                        result[1u] = Napi::Buffer<char>::Copy(env, offer.data(), offer.size());
                        all.loops[all.next++] = loop;
                        return result;
                      }});
  });
}

std::shared_ptr<BareLoop> loopAt(const Napi::CallbackInfo& info) {
  auto& loops = Loops::of(info.Env()).loops;
  auto found = loops.find(integerAt(info, 0));
  if (found == loops.end()) throw Completions::error(info.Env(), ESHUTDOWN, "the loop is closed");
  return found->second;
}

// (loop, id, answer)
void connect(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  auto bytes = info[2].As<Napi::Uint8Array>();
  std::string answer(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, answer, &completions, loop = loopAt(info)] {
    IoStatus status = loop->connect(answer);
    completions.push({id, status.error, status.message, nullptr});
  });
}

// (loop, id, write, handle, offset, range: address, length, key; pieceBytes, window, ms); completes with [bytes, ms, median ms].
void run(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  auto range = info[5].As<Napi::BigUint64Array>();
  if (range.ElementLength() != 3) throw Napi::RangeError::New(info.Env(), "not one range");
  auto memory = std::make_shared<MemoryRef>(
      borrowMemory(info.Env(), numberAt(info, 3), numberAt(info, 4), static_cast<double>(range[1])));
  BareLoad load;
  load.direction = info[2].As<Napi::Boolean>().Value() ? Direction::kWrite : Direction::kRead;
  load.range = {memory->data() + integerAt(info, 4), range[1], range[0], range[2]};
  load.pieceBytes = integerAt(info, 6);
  load.window = static_cast<uint32_t>(std::min(numberAt(info, 7), 1e6));
  load.time = std::chrono::microseconds(static_cast<int64_t>(std::min(numberAt(info, 8), kLongestMs) * 1000));
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, load, memory, &completions, loop = loopAt(info)] {
    BareResult result;
    IoStatus status = loop->run(load, result);
    completions.push({id, status.error, status.message, [result](Napi::Env env) -> Napi::Value {
                        Napi::Array numbers = Napi::Array::New(env, 3);
                        numbers[0u] = static_cast<double>(result.bytes);
                        numbers[1u] = milliseconds(result.took);
                        numbers[2u] = milliseconds(result.median);
                        return numbers;
                      }});
  });
}

// (loop, id)
void close(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  auto& loops = Loops::of(info.Env()).loops;
  std::shared_ptr<BareLoop> loop;
  auto found = loops.find(integerAt(info, 0));
  if (found != loops.end()) {
    loop = std::move(found->second);
    loops.erase(found);
  }
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, &completions, loop]() mutable {
    loop.reset();
    completions.push({id, 0, "", nullptr});
  });
}

}  // namespace

void initBareLoop(Napi::Env env, Napi::Object exports) {
  exports["bareLoopOpen"] = Napi::Function::New(env, open, "bareLoopOpen");
  exports["bareLoopConnect"] = Napi::Function::New(env, connect, "bareLoopConnect");
  exports["bareLoopRun"] = Napi::Function::New(env, run, "bareLoopRun");
  exports["bareLoopClose"] = Napi::Function::New(env, close, "bareLoopClose");
}

}  // namespace kafabric::binding
