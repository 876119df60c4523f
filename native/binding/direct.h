// Memory of clients on this machine, and copies from and to it; src/native/direct.ts is its face.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "binding/environment.h"
#include "direct/region.h"

namespace kafabric::binding {

/** The memory of clients that one environment serves, by number. */
struct Regions {
  static Regions& of(Napi::Env env);
  /** What is under way with it still ends. */
  void close(Napi::Env env, uint64_t id);
  std::unordered_map<uint64_t, std::shared_ptr<direct::Region>> byId;
  uint64_t nextId = 1;
};

void initDirect(Napi::Env env, Napi::Object exports);
/** Where clients hand over their memory, and ask for that of the server. */
void initRegionSocket(Napi::Env env, Napi::Object exports);
/** What clients do. */
void initSharedMemory(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
