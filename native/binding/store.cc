// Files for JavaScript. Stores and files are named by numbers; what belongs to an environment ends with it.
#include "binding/store.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "binding/arena.h"
#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/store_host.h"
#include "binding/workers.h"

namespace kafabric::binding {

HostedStore& storeAt(const Napi::CallbackInfo& info) {
  Host& host = Host::of(info.Env());
  uint64_t index = integerAt(info, 0);
  if (index >= host.stores.size()) throw Napi::Error::New(info.Env(), "no such store");
  return *host.stores[index];
}

HostedFile& fileAt(const Napi::CallbackInfo& info) {
  auto& files = Host::of(info.Env()).files;
  auto found = files.find(integerAt(info, 0));
  if (found == files.end()) {
    throw Completions::error(info.Env(), EBADF, "the file is closed");
  }
  return found->second;
}

StoreFile::Done reporter(Napi::Env env, double id) {
  Completions& completions = Completions::of(env);
  return [id, &completions](const IoStatus& status) {
    completions.push({id, status.error, status.message, nullptr});
  };
}

void postOrFail(ThreadPool& pool, Napi::Env env, double id, std::function<void()> task) {
  auto work = [id, task = std::move(task), &completions = Completions::of(env)] { completions.run(id, task); };
  if (!pool.post(std::move(work))) reporter(env, id)({ESHUTDOWN, "the store is shut down"});
}

namespace {

// (threads, memoryTimeoutMs, maxQueuedBytes, direct, copyThreads) -> store
Napi::Value create(const Napi::CallbackInfo& info) {
  Host& host = Host::of(info.Env());
  StoreOptions options;
  options.threads = static_cast<unsigned>(std::clamp(numberAt(info, 0), 1.0, 256.0));
  options.memoryTimeout = std::chrono::milliseconds(integerAt(info, 1));
  options.direct = info[3].As<Napi::Boolean>().Value();
  options.copyThreads = static_cast<unsigned>(std::min(numberAt(info, 4), 256.0));
  try {
    host.stores.push_back(std::make_unique<HostedStore>(options, integerAt(info, 2)));
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(info.Env(), "the arena's address space could not be reserved");
  } catch (const std::system_error& error) {
    throw Napi::Error::New(info.Env(), std::string("no threads for a store: ") + error.what());
  }
  if (!host.hook) {
    host.hook = std::make_unique<CleanupHook>(info.Env(), [&host] {
      for (auto& hosted : host.stores) hosted->store.stop();
    });
  }
  return Napi::Number::New(info.Env(), static_cast<double>(host.stores.size() - 1));
}

// (store, id)
void stop(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  auto done = reporter(info.Env(), numberAt(info, 1));
  Workers::post(info.Env(), [&hosted, done] {
    hosted.store.stop();
    done({});
  });
}

Napi::Value stats(const Napi::CallbackInfo& info) {
  StoreCounters& counters = storeAt(info).store.counters();
  Napi::Object result = Napi::Object::New(info.Env());
  auto put = [&](const char* name, uint64_t value) { result[name] = static_cast<double>(value); };
  put("queuedBytes", counters.queuedBytes);
  put("appends", counters.appends);
  put("acknowledged", counters.acknowledged);
  put("writes", counters.writes);
  put("bytesWritten", counters.bytesWritten);
  put("bytesGathered", counters.bytesGathered);
  put("syncs", counters.syncs);
  put("reads", counters.reads);
  put("bytesRead", counters.bytesRead);
  put("memoryWaits", counters.memoryWaits);
  RangeCache::Stats cache = storeAt(info).store.cache().stats();
  put("cachedBytes", cache.bytes);
  put("cacheHitBytes", cache.hitBytes);
  put("cacheMissBytes", cache.missBytes);
  RecycledFiles::Stats recycled = storeAt(info).store.recycled().stats();
  put("recycledBytes", recycled.bytes);
  put("recycledFiles", recycled.taken);
  return result;
}

// (store, id, path, create, readOnly, preallocateBytes, recycledBytes, aheadBytes); completes with [file, size, bypasses the page cache].
void open(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  double id = numberAt(info, 1);
  std::string path = stringAt(info, 2);
  OpenOptions options{info[3].As<Napi::Boolean>().Value(), info[4].As<Napi::Boolean>().Value(), integerAt(info, 5),
                      integerAt(info, 6), integerAt(info, 7)};
  Completions& completions = Completions::of(info.Env());
  postOrFail(hosted.store.writers(), info.Env(), id, [&hosted, id, path, options, &completions] {
    IoStatus status;
    std::shared_ptr<StoreFile> file = hosted.store.open(path, options, status);
    Completion done{id, status.error, status.message, nullptr};
    if (file) {
      done.result = [file, &hosted](Napi::Env env) -> Napi::Value {
        auto name = static_cast<double>(file->handle()->id());
        Host::of(env).files[file->handle()->id()] = {file, &hosted};
        Napi::Array result = Napi::Array::New(env, 3);
        result[0u] = name;
        result[1u] = static_cast<double>(file->written());
        result[2u] = Napi::Boolean::New(env, file->handle()->blockBytes() > 0);
        return result;
      };
    }
    completions.push(std::move(done));
  });
}

/** Flat: Uint8Arrays, and handle, offset, length for each range of memory. Bytes are those of the arrays, for this call only. */
std::vector<AppendPart> partsOf(Napi::Env env, const Napi::Array& flat) {
  std::vector<AppendPart> parts;
  uint32_t count = flat.Length();
  for (uint32_t i = 0; i < count;) {
    AppendPart part;
    Napi::Value next = flat[i++];
    if (next.IsTypedArray()) {
      auto bytes = next.As<Napi::Uint8Array>();
      part.bytes = bytes.Data();
      part.length = bytes.ByteLength();
    } else {
      double offset = Napi::Value(flat[i++]).As<Napi::Number>().DoubleValue();
      double length = Napi::Value(flat[i++]).As<Napi::Number>().DoubleValue();
      part.memory = borrowMemory(env, next.As<Napi::Number>().DoubleValue(), offset, length);
      part.bytes = part.memory.data() + static_cast<size_t>(offset);
      part.length = static_cast<size_t>(length);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

// (file, id, parts, length, align, fromMemory) -> position, or -1 - position when it is acknowledged and nothing completes.
Napi::Value append(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  HostedFile& hosted = fileAt(info);
  if (hosted.owner->store.counters().queuedBytes + integerAt(info, 3) > hosted.owner->maxQueuedBytes) {
    throw Completions::error(env, ENOBUFS, "too many bytes are waiting to be written");
  }
  auto parts = partsOf(env, info[2].As<Napi::Array>());
  AppendOptions options{info[4].As<Napi::Boolean>().Value(), info[5].As<Napi::Boolean>().Value()};
  auto done = reporter(env, numberAt(info, 1));
  AppendResult result{};
  try {
    result = hosted.file->append(parts, options, std::move(done));
  } catch (const std::bad_alloc&) {
    throw Completions::error(env, ENOMEM, "not enough memory to append to " + hosted.file->handle()->path());
  }
  auto position = static_cast<double>(result.position);
  return Napi::Number::New(env, result.acknowledged ? -1 - position : position);
}

void sync(const Napi::CallbackInfo& info) { fileAt(info).file->sync(reporter(info.Env(), numberAt(info, 1))); }

void truncate(const Napi::CallbackInfo& info) {
  fileAt(info).file->truncate(integerAt(info, 2), reporter(info.Env(), numberAt(info, 1)));
}

void trim(const Napi::CallbackInfo& info) { fileAt(info).file->trim(reporter(info.Env(), numberAt(info, 1))); }

void close(const Napi::CallbackInfo& info) {
  auto file = fileAt(info).file;
  Host::of(info.Env()).files.erase(integerAt(info, 0));
  file->close(reporter(info.Env(), numberAt(info, 1)));
}


// (store, id, path, bytes)
void replaceFile(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  std::string path = stringAt(info, 2);
  auto array = info[3].As<Napi::Uint8Array>();
  auto bytes = std::make_shared<ByteBuffer>();
  bytes->append(array.Data(), array.ByteLength());
  auto done = reporter(info.Env(), id);
  Store& store = storeAt(info).store;
  postOrFail(store.syncers(), info.Env(), id,
             [&store, path, bytes, done] { done(store.replace(path, bytes->data(), bytes->size())); });
}

// (store, id, path)
void makeDirectory(const Napi::CallbackInfo& info) {
  Store& store = storeAt(info).store;
  double id = numberAt(info, 1);
  auto done = reporter(info.Env(), id);
  postOrFail(store.syncers(), info.Env(), id,
             [&store, path = stringAt(info, 2), done] { done(store.makeDirectory(path)); });
}

// (store, id, from, to)
void rename(const Napi::CallbackInfo& info) {
  Store& store = storeAt(info).store;
  double id = numberAt(info, 1);
  auto done = reporter(info.Env(), id);
  postOrFail(store.syncers(), info.Env(), id,
             [&store, from = stringAt(info, 2), to = stringAt(info, 3), done] { done(store.rename(from, to)); });
}

// (store, id, path)
void flushDirectory(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  auto done = reporter(info.Env(), id);
  postOrFail(storeAt(info).store.syncers(), info.Env(), id,
             [path = stringAt(info, 2), done] { done(syncDirectory(path)); });
}

// (store, id, path)
void remove(const Napi::CallbackInfo& info) {
  Store& store = storeAt(info).store;
  double id = numberAt(info, 1);
  auto done = reporter(info.Env(), id);
  postOrFail(store.removers(), info.Env(), id, [&store, path = stringAt(info, 2), done] { done(store.remove(path)); });
}

/** Positions and lengths by turns; throws a TypeError for a number without a partner or that is no whole one. */
std::vector<FileRange> rangesOf(const Napi::Value& value) {
  auto flat = value.As<Napi::Float64Array>();
  if (flat.ElementLength() % 2 != 0) throw Napi::TypeError::New(value.Env(), "a position without a length");
  std::vector<FileRange> ranges;
  ranges.reserve(flat.ElementLength() / 2);
  for (size_t i = 0; i < flat.ElementLength(); i += 2) ranges.push_back({wholeIn(flat, i), wholeIn(flat, i + 1)});
  return ranges;
}

// (store, id, path, ranges); completes with [held, replaced].
void punch(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  double id = numberAt(info, 1);
  Completions& completions = Completions::of(info.Env());
  auto task = [&hosted, id, path = stringAt(info, 2), ranges = rangesOf(info[3]), &completions] {
    Punched punched;
    IoStatus status = hosted.store.punch(path, ranges, punched);
    Completion done{id, status.error, status.message, nullptr};
    done.result = [punched](Napi::Env env) -> Napi::Value {
      Napi::Array result = Napi::Array::New(env, 2);
      result[0u] = static_cast<double>(punched.held);
      result[1u] = Napi::Boolean::New(env, punched.replaced);
      return result;
    };
    completions.push(std::move(done));
  };
  postOrFail(hosted.store.removers(), info.Env(), id, std::move(task));
}

/** Runs a task that copies on a thread of the store for that; no client waits for those. */
void postCopy(const Napi::CallbackInfo& info, HostedStore& hosted, double id, std::function<void()> task) {
  ThreadPool* copiers = hosted.store.copiers();
  if (copiers) postOrFail(*copiers, info.Env(), id, std::move(task));
  else reporter(info.Env(), id)({ENOTSUP, "the store was made without threads for copying"});
}

// (store, id, from, to, position, length); completes with the bytes copied.
void copyRangeOf(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  double id = numberAt(info, 1);
  Completions& completions = Completions::of(info.Env());
  postCopy(info, hosted, id,
           [&hosted, id, from = stringAt(info, 2), to = stringAt(info, 3), position = integerAt(info, 4),
            length = integerAt(info, 5), &completions] {
             uint64_t copied = 0;
             IoStatus status = hosted.store.copy(from, to, position, length, copied);
             Completion done{id, status.error, status.message, nullptr};
             done.result = [copied](Napi::Env env) -> Napi::Value {
               return Napi::Number::New(env, static_cast<double>(copied));
             };
             completions.push(std::move(done));
           });
}

// (store, id, from, copy, to)
void publish(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  double id = numberAt(info, 1);
  auto done = reporter(info.Env(), id);
  postCopy(info, hosted, id, [&hosted, from = stringAt(info, 2), copy = stringAt(info, 3), to = stringAt(info, 4), done] {
    done(hosted.store.publish(from, copy, to));
  });
}

// (store, id, directory, bytes, preparedBytes, fileBytes, asTheyAre)
void recycleIn(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  double id = numberAt(info, 1);
  auto done = reporter(info.Env(), id);
  postOrFail(hosted.store.syncers(), info.Env(), id,
             [&hosted, directory = stringAt(info, 2), bytes = integerAt(info, 3), prepared = integerAt(info, 4),
              fileBytes = integerAt(info, 5), asTheyAre = info[6].As<Napi::Boolean>().Value(), done] {
               hosted.store.recycled().keepIn(directory, bytes, asTheyAre);
               if (prepared > 0) hosted.store.preparer().prepare(directory, std::min(prepared, bytes), fileBytes, asTheyAre);
               done({});
             });
}

// (store, directory) -> bytes that are kept there
Napi::Value keptIn(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(storeAt(info).store.recycled().keptIn(stringAt(info, 1))));
}

// (store, id, directory); completes with [persistence, why].
void addPersistent(const Napi::CallbackInfo& info) {
  HostedStore& hosted = storeAt(info);
  double id = numberAt(info, 1);
  Completions& completions = Completions::of(info.Env());
  postOrFail(hosted.store.syncers(), info.Env(), id, [&hosted, id, directory = stringAt(info, 2), &completions] {
    PersistentDirectories::Found found = hosted.store.persistent().add(directory);
    Completion done{id, 0, "", nullptr};
    done.result = [found](Napi::Env env) -> Napi::Value {
      Napi::Array result = Napi::Array::New(env, 2);
      result[0u] = static_cast<double>(found.persistence);
      result[1u] = Napi::String::New(env, found.detail);
      return result;
    };
    completions.push(std::move(done));
  });
}

// (path) -> lock
Napi::Value lock(const Napi::CallbackInfo& info) {
  IoStatus status;
  auto lock = DirectoryLock::acquire(stringAt(info, 0), status);
  if (!lock) throw Completions::error(info.Env(), status.error, status.message);
  Host& host = Host::of(info.Env());
  host.locks[host.nextLock] = std::move(lock);
  return Napi::Number::New(info.Env(), static_cast<double>(host.nextLock++));
}

void unlock(const Napi::CallbackInfo& info) { Host::of(info.Env()).locks.erase(integerAt(info, 0)); }

}  // namespace

Store& storeOf(Napi::Env env, uint64_t index) {
  Host& host = Host::of(env);
  if (index >= host.stores.size()) throw Napi::Error::New(env, "no such store");
  return host.stores[index]->store;
}

std::shared_ptr<StoreFile> openFile(Napi::Env env, uint64_t number) {
  auto& files = Host::of(env).files;
  auto found = files.find(number);
  return found == files.end() ? nullptr : found->second.file;
}

void initStore(Napi::Env env, Napi::Object exports) {
  exports["storeCreate"] = Napi::Function::New(env, create, "storeCreate");
  exports["storeStop"] = Napi::Function::New(env, stop, "storeStop");
  exports["storeStats"] = Napi::Function::New(env, stats, "storeStats");
  exports["storeOpen"] = Napi::Function::New(env, open, "storeOpen");
  exports["storeReplaceFile"] = Napi::Function::New(env, replaceFile, "storeReplaceFile");
  exports["storeMakeDirectory"] = Napi::Function::New(env, makeDirectory, "storeMakeDirectory");
  exports["storeRename"] = Napi::Function::New(env, rename, "storeRename");
  exports["storeSyncDirectory"] = Napi::Function::New(env, flushDirectory, "storeSyncDirectory");
  exports["storeRemove"] = Napi::Function::New(env, remove, "storeRemove");
  exports["storePunch"] = Napi::Function::New(env, punch, "storePunch");
  exports["storeCopyRange"] = Napi::Function::New(env, copyRangeOf, "storeCopyRange");
  exports["storePublishCopy"] = Napi::Function::New(env, publish, "storePublishCopy");
  exports["storeRecycleIn"] = Napi::Function::New(env, recycleIn, "storeRecycleIn");
  exports["storeKeptIn"] = Napi::Function::New(env, keptIn, "storeKeptIn");
  exports["storeAddPersistent"] = Napi::Function::New(env, addPersistent, "storeAddPersistent");
  exports["storeLock"] = Napi::Function::New(env, lock, "storeLock");
  exports["storeUnlock"] = Napi::Function::New(env, unlock, "storeUnlock");
  exports["fileAppend"] = Napi::Function::New(env, append, "fileAppend");
  exports["fileSync"] = Napi::Function::New(env, sync, "fileSync");
  exports["fileTruncate"] = Napi::Function::New(env, truncate, "fileTruncate");
  exports["fileTrim"] = Napi::Function::New(env, trim, "fileTrim");
  exports["fileClose"] = Napi::Function::New(env, close, "fileClose");
  initStoreReads(env, exports);
}

}  // namespace kafabric::binding
