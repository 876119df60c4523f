#include "binding/arena.h"

#include <new>

#include "binding/environment.h"

namespace kafabric::binding {

namespace {

constexpr double kMaxHandle = 9007199254740991.0;  // 2^53 - 1

uint64_t toHandle(double value) { return value >= 0 && value <= kMaxHandle ? static_cast<uint64_t>(value) : 0; }

Napi::Value configure(const Napi::CallbackInfo& info) {
  double bytes = info[0].As<Napi::Number>().DoubleValue();
  try {
    if (!(bytes >= 1 && bytes <= kMaxHandle)) throw std::bad_alloc();
    return Napi::Boolean::New(info.Env(), Arena::configureProcess(static_cast<size_t>(bytes)));
  } catch (const std::bad_alloc&) {
    throw Napi::RangeError::New(info.Env(), "arena size out of range");
  }
}

Napi::Value buffer(const Napi::CallbackInfo& info) {
  try {
    Arena& arena = Arena::process();
    return Napi::ArrayBuffer::New(info.Env(), arena.base(), arena.capacity());
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(info.Env(), "the arena's address space could not be reserved");
  }
}

// Returns [handle, offset], or null when the arena is full.
Napi::Value allocate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  double bytes = info[0].As<Napi::Number>().DoubleValue();
  if (!(bytes >= 1 && bytes <= kMaxHandle)) throw Napi::RangeError::New(env, "length out of range");
  MemoryRef memory = Arena::process().allocate(static_cast<size_t>(bytes));
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

Napi::Value stats(const Napi::CallbackInfo& info) {
  Arena::Stats now = Arena::process().stats();
  Napi::Object result = Napi::Object::New(info.Env());
  result["capacityBytes"] = static_cast<double>(now.capacity);
  result["usedBytes"] = static_cast<double>(now.used);
  result["peakBytes"] = static_cast<double>(now.peak);
  result["blocks"] = static_cast<double>(now.blocks);
  result["refusals"] = static_cast<double>(now.refusals);
  return result;
}

}  // namespace

uint64_t ArenaHolds::give(MemoryRef memory) {
  uint64_t handle = memory.handle();
  Hold& hold = holds_[handle];
  if (hold.count++ == 0) hold.memory = std::move(memory);
  return handle;
}

MemoryRef ArenaHolds::borrow(uint64_t handle) const {
  auto found = holds_.find(handle);
  return found == holds_.end() ? MemoryRef() : found->second.memory;
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
  exports["arenaBuffer"] = Napi::Function::New(env, buffer, "arenaBuffer");
  exports["arenaAllocate"] = Napi::Function::New(env, allocate, "arenaAllocate");
  exports["arenaRelease"] = Napi::Function::New(env, release, "arenaRelease");
  exports["arenaStats"] = Napi::Function::New(env, stats, "arenaStats");
}

}  // namespace kafabric::binding
