// What the calls of stores and files have in common.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "binding/environment.h"
#include "store/directory_lock.h"
#include "store/store.h"

namespace kafabric::binding {

/** A store with what its JavaScript face limits. */
struct HostedStore {
  Store store;
  uint64_t maxQueuedBytes;
  HostedStore(const StoreOptions& options, uint64_t limit) : store(options), maxQueuedBytes(limit) {}
};

struct HostedFile {
  std::shared_ptr<StoreFile> file;
  HostedStore* owner;
};

/** One environment's stores, files and locks. Stopped stores stay: files refer to them. */
struct Host {
  std::vector<std::unique_ptr<HostedStore>> stores;
  std::unordered_map<uint64_t, HostedFile> files;
  std::unordered_map<uint64_t, std::unique_ptr<DirectoryLock>> locks;
  uint64_t nextLock = 1;
  std::unique_ptr<CleanupHook> hook;

  static Host& of(Napi::Env env) { return Environment::of(env).part<Host>(); }
  ~Host() { files.clear(); }
};

/** The store of the first argument's number; throws Napi::Error when there is none. */
HostedStore& storeAt(const Napi::CallbackInfo& info);

/** The open file of the first argument's number; throws an Error with code EBADF when it is closed. */
HostedFile& fileAt(const Napi::CallbackInfo& info);

/** Reports an operation without a result under `id`. */
StoreFile::Done reporter(Napi::Env env, double id);

/** Reports ESHUTDOWN under `id` when the pool takes no more, and ENOMEM when the task finds no memory. */
void postOrFail(ThreadPool& pool, Napi::Env env, double id, std::function<void()> task);

/** Reading, finding and looking through files. */
void initStoreReads(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
