// The addon's entry point: one init function for each part, which adds its functions and classes to the exports.
#include <napi.h>

#include "binding/allocator.h"
#include "binding/arena.h"
#include "binding/batch.h"
#include "binding/codec.h"
#include "binding/compaction.h"
#include "binding/completions.h"
#include "binding/direct.h"
#include "binding/environment.h"
#include "binding/fabric.h"
#include "binding/journal.h"
#include "binding/net.h"
#include "binding/store.h"

namespace {

Napi::Object InitModule(Napi::Env env, Napi::Object exports) {
  kafabric::binding::Environment::install(env);
  kafabric::binding::initAllocator(env, exports);
  kafabric::binding::initArena(env, exports);
  kafabric::binding::initCompletions(env, exports);
  kafabric::binding::initBatch(env, exports);
  kafabric::binding::initCodec(env, exports);
  kafabric::binding::initDirect(env, exports);
  kafabric::binding::initFabric(env, exports);
  kafabric::binding::initBareLoop(env, exports);
  kafabric::binding::initRemoteMemory(env, exports);
  kafabric::binding::initJournal(env, exports);
  kafabric::binding::initNet(env, exports);
  kafabric::binding::initStore(env, exports);
  kafabric::binding::initCompaction(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(kafabric, InitModule)
