#include "binding/arena.h"

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "binding/environment.h"

namespace kafabric::binding {

namespace {

constexpr double kMaxHandle = 9007199254740991.0;  // 2^53 - 1

uint64_t toHandle(double value) { return value >= 0 && value <= kMaxHandle ? static_cast<uint64_t>(value) : 0; }

Arena& processArena(Napi::Env env) {
  try {
    return Arena::process();
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, "the arena's address space could not be reserved");
  }
}

/** Ends the touching that an environment has started when that ends. */
struct Touching {
  std::unique_ptr<CleanupHook> stop;
};

// (bytes, shared name or '', directory) -> whether it is so
Napi::Value configure(const Napi::CallbackInfo& info) {
  double bytes = info[0].As<Napi::Number>().DoubleValue();
  SharedPlace place{info[1].As<Napi::String>().Utf8Value(), info[2].As<Napi::String>().Utf8Value()};
  try {
    if (!(bytes >= 1 && bytes <= kMaxHandle)) throw std::bad_alloc();
    return Napi::Boolean::New(info.Env(), Arena::configureProcess(static_cast<size_t>(bytes), place));
  } catch (const std::bad_alloc&) {
    throw Napi::RangeError::New(info.Env(), "arena size out of range");
  }
}

void startTouching(const Napi::CallbackInfo& info) {
  Arena& arena = processArena(info.Env());
  auto& touching = Environment::of(info.Env()).part<Touching>();
  if (!touching.stop) touching.stop = std::make_unique<CleanupHook>(info.Env(), [&arena] { arena.stopTouching(); });
  arena.startTouching();
}

// -> [shared, why not or null]
Napi::Value sharing(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Arena& arena = processArena(env);
  bool removed = arena.shared() && arena.sharedFile()->isRemoved();
  std::string reason = removed ? arena.sharedFile()->path() + " was removed by another program" : arena.sharedReason();
  Napi::Array result = Napi::Array::New(env, 2);
  result[0u] = Napi::Boolean::New(env, arena.shared() && !removed);
  if (reason.empty()) result[1u] = env.Null();
  else result[1u] = Napi::String::New(env, reason);
  return result;
}

Napi::Value unlink(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Arena::releaseProcess());
}

// (start, most) -> the arena's bytes from `start` on, at most so many
Napi::Value buffer(const Napi::CallbackInfo& info) {
  Arena& arena = processArena(info.Env());
  auto start = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
  auto most = static_cast<size_t>(info[1].As<Napi::Number>().Int64Value());
  if (start >= arena.capacity()) throw Napi::RangeError::New(info.Env(), "not in the arena");
  return Napi::ArrayBuffer::New(info.Env(), arena.base() + start, std::min(most, arena.capacity() - start));
}

// Returns [handle, offset], or null when the arena is full.
Napi::Value allocate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  double bytes = info[0].As<Napi::Number>().DoubleValue();
  if (!(bytes >= 1 && bytes <= kMaxHandle)) throw Napi::RangeError::New(env, "length out of range");
  MemoryRef memory = processArena(env).allocate(static_cast<size_t>(bytes));
  if (!memory) return env.Null();
  Napi::Array result = Napi::Array::New(env, 2);
  result[1u] = Napi::Number::New(env, static_cast<double>(memory.offset()));
  result[0u] = Napi::Number::New(env, static_cast<double>(arenaHolds(env).give(std::move(memory))));
  return result;
}

void release(const Napi::CallbackInfo& info) {
  uint64_t handle = toHandle(info[0].As<Napi::Number>().DoubleValue());
  if (!arenaHolds(info.Env()).take(handle)) {
    throw Napi::Error::New(info.Env(), "native memory was released already");
  }
}

// (handle) -> bytes of the block
Napi::Value blockBytes(const Napi::CallbackInfo& info) {
  MemoryRef memory = borrowMemory(info.Env(), info[0].As<Napi::Number>().DoubleValue(), 0, 0);
  return Napi::Number::New(info.Env(), static_cast<double>(memory.size()));
}

Napi::Value stats(const Napi::CallbackInfo& info) {
  Arena::Stats now = processArena(info.Env()).stats();
  Napi::Object result = Napi::Object::New(info.Env());
  result["capacityBytes"] = static_cast<double>(now.capacity);
  result["backedBytes"] = static_cast<double>(now.backed);
  result["aimedBytes"] = static_cast<double>(now.aimed);
  result["touchedBytes"] = static_cast<double>(now.touched);
  result["hugeBytes"] = static_cast<double>(now.huge);
  result["usedBytes"] = static_cast<double>(now.used);
  result["peakBytes"] = static_cast<double>(now.peak);
  result["blocks"] = static_cast<double>(now.blocks);
  result["refusals"] = static_cast<double>(now.refusals);
  return result;
}

}  // namespace

uint64_t ArenaHolds::give(MemoryRef memory, std::shared_ptr<CheckedFrame> checked) {
  uint64_t handle = memory.handle();
  Hold& hold = holds_[handle];
  if (hold.count++ == 0) {
    hold.memory = std::move(memory);
    hold.checked = std::move(checked);
  }
  return handle;
}

MemoryRef ArenaHolds::borrow(uint64_t handle) const {
  auto found = holds_.find(handle);
  return found == holds_.end() ? MemoryRef() : found->second.memory;
}

CheckedFrame* ArenaHolds::checked(uint64_t handle) const {
  auto found = holds_.find(handle);
  return found == holds_.end() ? nullptr : found->second.checked.get();
}

void ArenaHolds::setChecked(uint64_t handle, std::shared_ptr<CheckedFrame> checked) {
  auto found = holds_.find(handle);
  if (found != holds_.end()) found->second.checked = std::move(checked);
}

bool ArenaHolds::take(uint64_t handle) {
  auto found = holds_.find(handle);
  if (found == holds_.end()) return false;
  if (--found->second.count == 0) holds_.erase(found);
  return true;
}

ArenaHolds& arenaHolds(Napi::Env env) { return Environment::of(env).part<ArenaHolds>(); }

MemoryRef borrowMemory(Napi::Env env, double handle, double offset, double length) {
  MemoryRef memory = arenaHolds(env).borrow(toHandle(handle));
  if (!memory) throw Napi::Error::New(env, "native memory was released already");
  auto size = static_cast<double>(memory.size());
  if (!(offset >= 0 && length >= 0 && offset <= size && length <= size - offset)) {
    throw Napi::RangeError::New(env, "range is not inside the native memory");
  }
  return memory;
}

void initArena(Napi::Env env, Napi::Object exports) {
  exports["arenaConfigure"] = Napi::Function::New(env, configure, "arenaConfigure");
  exports["arenaTouch"] = Napi::Function::New(env, startTouching, "arenaTouch");
  exports["arenaShared"] = Napi::Function::New(env, sharing, "arenaShared");
  exports["arenaUnlink"] = Napi::Function::New(env, unlink, "arenaUnlink");
  exports["arenaBuffer"] = Napi::Function::New(env, buffer, "arenaBuffer");
  exports["arenaAllocate"] = Napi::Function::New(env, allocate, "arenaAllocate");
  exports["arenaRelease"] = Napi::Function::New(env, release, "arenaRelease");
  exports["arenaBlockBytes"] = Napi::Function::New(env, blockBytes, "arenaBlockBytes");
  exports["arenaStats"] = Napi::Function::New(env, stats, "arenaStats");
}

}  // namespace kafabric::binding
