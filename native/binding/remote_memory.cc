#include "fabric/remote_memory.h"

#include <memory>

#include "binding/completions.h"
#include "binding/fabric.h"

namespace kafabric::binding {

using namespace fabric;

namespace {

constexpr size_t kPartWords = 4;    // region, key, offset, length
constexpr size_t kHeaderWords = 2;  // attachment, sequence
constexpr size_t kRangeWords = 3;   // address, length, key

/** RemoteMemory as a JavaScript object: it goes with the last reference to it. */
class HostedRemoteMemory : public Napi::ObjectWrap<HostedRemoteMemory> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "RemoteMemory",
                       {InstanceMethod("publish", &HostedRemoteMemory::publish),
                        InstanceMethod("withdraw", &HostedRemoteMemory::withdraw),
                        InstanceMethod("resolve", &HostedRemoteMemory::resolve)});
  }

  // (attachment)
  explicit HostedRemoteMemory(const Napi::CallbackInfo& info) : ObjectWrap(info), memory_(wordOf(info[0])) {}

 private:
  static uint64_t wordOf(const Napi::Value& value) {
    bool whole = false;
    uint64_t word = value.As<Napi::BigInt>().Uint64Value(&whole);
    if (!whole) throw Napi::RangeError::New(value.Env(), "not an unsigned number of 64 bits");
    return word;
  }
  static int64_t timeOf(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }
  static void throwIfBad(Napi::Env env, const IoStatus& status) {
    if (!status.ok()) throw Completions::error(env, status.error, status.message);
  }

  // (region, address, key, length, access, expiresMs, nowMs)
  void publish(const Napi::CallbackInfo& info) {
    RegionDescriptor region{wordOf(info[0]), wordOf(info[1]), wordOf(info[2]), wordOf(info[3]),
                            static_cast<uint8_t>(info[4].As<Napi::Number>().Uint32Value() & 0xff), timeOf(info[5])};
    throwIfBad(info.Env(), memory_.publish(region, timeOf(info[6])));
  }

  Napi::Value withdraw(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), memory_.withdraw(wordOf(info[0])));
  }

  // (order: attachment, sequence, then the parts; write, expiresMs, nowMs) -> the ranges
  Napi::Value resolve(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto words = info[0].As<Napi::BigUint64Array>();
    size_t count = words.ElementLength();
    if (count < kHeaderWords || (count - kHeaderWords) % kPartWords != 0) throw Napi::RangeError::New(env, "not an order");
    const uint64_t* word = words.Data();
    TransferOrder order{word[0], word[1], timeOf(info[2]), info[1].As<Napi::Boolean>().Value() ? Direction::kWrite : Direction::kRead, {}};
    for (const uint64_t* part = word + kHeaderWords; part < word + count; part += kPartWords)
      order.parts.push_back({part[0], part[1], part[2], part[3]});
    std::vector<Range> ranges;
    throwIfBad(env, memory_.resolve(order, timeOf(info[3]), ranges));
    auto result = Napi::BigUint64Array::New(env, ranges.size() * kRangeWords, napi_biguint64_array);
    uint64_t* next = result.Data();
    for (const Range& range : ranges) {
      *next++ = range.address;
      *next++ = range.length;
      *next++ = range.key;
    }
    return result;
  }

  RemoteMemory memory_;
};

}  // namespace

void initRemoteMemory(Napi::Env env, Napi::Object exports) { exports["RemoteMemory"] = HostedRemoteMemory::define(env); }

}  // namespace kafabric::binding
