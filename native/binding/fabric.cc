// Transports are named by numbers; they belong to the environment and end with it.
#include "binding/fabric.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "batch/crc32c.h"
#include "binding/arena.h"
#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/environment.h"
#include "binding/workers.h"
#include "fabric/fabric_transport.h"
#include "fabric/tcp_transport.h"

namespace kafabric::binding {

using namespace fabric;

namespace {

/** How long the end of an environment waits for a thread that is inside a provider. */
constexpr auto kPatience = std::chrono::seconds(5);
constexpr uint32_t kRangeWords = 3;  // address, length, key

std::string bytesAt(const Napi::CallbackInfo& info, size_t index) {
  auto bytes = info[index].As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

Napi::Value toBytes(Napi::Env env, const std::string& bytes) { return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size()); }

/** The library and its providers: found once for each setting, by a worker thread. */
struct Found {
  Library::Opened opened;
  ProviderList list;
};

std::shared_ptr<const Found> find(const std::string& configured) {
  static std::mutex mutex;
  static std::unordered_map<std::string, std::shared_ptr<const Found>> all;
  std::lock_guard lock(mutex);
  std::shared_ptr<const Found>& known = all[configured];
  if (known && known->opened.library) return known;  // what was missing may have been installed
  auto found = std::make_shared<Found>();
  found->opened = Library::open(configured);
  if (found->opened.library) found->list = listProviders(found->opened.library);
  known = found;
  return found;
}

struct Host {
  std::unordered_map<uint64_t, std::unique_ptr<Transport>> transports;
  uint64_t next = 1;
  std::unique_ptr<CleanupHook> hook;

  static Host& of(Napi::Env env) { return Environment::of(env).part<Host>(); }

  void prepare(Napi::Env env) {
    Completions::of(env);
    if (hook) return;
    hook = std::make_unique<CleanupHook>(env, [this] {
      for (auto& [id, transport] : transports) {
        if (!transport->stopWithin(kPatience)) transport.release();  // its thread does not come back
      }
      transports.clear();
    });
  }
};

Transport::Done reporter(Napi::Env env, double id) {
  Completions& completions = Completions::of(env);
  return [id, &completions](const IoStatus& status) { completions.push({id, status.error, status.message, nullptr}); };
}

Napi::Object describe(Napi::Env env, const Library& library, const Provider& provider) {
  Napi::Object result = Napi::Object::New(env);
  result["provider"] = provider.name;
  result["domain"] = provider.domain;
  result["network"] = provider.network;
  result["device"] = provider.device;
  result["bitsPerSecond"] = static_cast<double>(provider.bitsPerSecond);
  result["memoryModes"] = memoryModesText(provider.memoryModes);
  result["against"] = reasonAgainst(library, provider.name);
  return result;
}

Napi::Value toObject(Napi::Env env, const Found& found) {
  Napi::Object result = Napi::Object::New(env);
  const Library* library = found.opened.library.get();
  result["path"] = library ? library->path() : "";
  result["version"] = library ? library->versionText() : "";
  result["error"] = library ? found.list.error : found.opened.error;
  Napi::Array tried = Napi::Array::New(env);
  for (uint32_t i = 0; i < found.opened.tried.size(); ++i) tried[i] = Napi::String::New(env, found.opened.tried[i]);
  result["tried"] = tried;
  Napi::Array providers = Napi::Array::New(env);
  for (uint32_t i = 0; i < found.list.providers.size(); ++i) providers[i] = describe(env, *library, *found.list.providers[i]);
  result["providers"] = providers;
  return result;
}

// (id, library or ''); completes with what was found.
void inspect(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  std::string configured = stringAt(info, 1);
  Library::prepareEnvironment();
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), id, [id, configured, &completions] {
    auto found = find(configured);
    completions.push({id, 0, "", [found](Napi::Env env) { return toObject(env, *found); }});
  });
}

struct OpenRequest {
  std::string library, provider, domain, network;
  TcpOptions tcp;
  BulkLimits limits;
};

std::unique_ptr<Transport> findTransport(const OpenRequest& request, IoStatus& status) {
  if (request.provider == kTcpTransportName || request.provider == kTlsTransportName) {
    TcpOptions tcp = request.tcp;
    tcp.encrypted = request.provider == kTlsTransportName;
    return TcpTransport::open(tcp, request.limits, status);
  }
  auto found = find(request.library);
  for (const auto& provider : found->list.providers) {
    bool wanted = provider->name == request.provider && provider->domain == request.domain && provider->network == request.network;
    if (wanted) return FabricTransport::open(found->opened.library, provider, request.limits, status);
  }
  status = {ENODEV, found->opened.library ? "there is no provider " + request.provider + " on " + request.domain
                                          : found->opened.error};
  return nullptr;
}

/** Null, and why, also when there can be no more threads or descriptors. */
std::unique_ptr<Transport> openTransport(const OpenRequest& request, IoStatus& status) {
  try {
    return findTransport(request, status);
  } catch (const std::system_error& error) {
    status = {error.code().value(), error.what()};
    return nullptr;
  }
}

// (id, library, provider, domain, network, pieceBytes, window, listen, host, port, advertised); completes with the transport.
void open(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  OpenRequest request{stringAt(info, 1), stringAt(info, 2), stringAt(info, 3), stringAt(info, 4), {}, {}};
  request.limits.pieceBytes = std::max<uint64_t>(1, integerAt(info, 5));
  request.limits.window = static_cast<uint32_t>(std::clamp(numberAt(info, 6), 1.0, 1024.0));
  request.limits.maxInFlight = std::max(request.limits.maxInFlight, request.limits.window);
  request.tcp = {info[7].As<Napi::Boolean>().Value(), stringAt(info, 8), static_cast<uint16_t>(integerAt(info, 9)), stringAt(info, 10)};
  Library::prepareEnvironment();
  Host::of(info.Env()).prepare(info.Env());
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), id, [id, request, &completions] {
    IoStatus status;
    std::shared_ptr<std::unique_ptr<Transport>> opened(new std::unique_ptr<Transport>(openTransport(request, status)));
    Completion done{id, status.error, status.message, nullptr};
    if (*opened) {
      done.result = [opened](Napi::Env env) -> Napi::Value {
        Host& host = Host::of(env);
        host.transports[host.next] = std::move(*opened);
        return Napi::Number::New(env, static_cast<double>(host.next++));
      };
    }
    completions.push(std::move(done));
  });
}

// (transport, id)
void close(const Napi::CallbackInfo& info) {
  auto& transports = Host::of(info.Env()).transports;
  auto found = transports.find(integerAt(info, 0));
  auto done = reporter(info.Env(), numberAt(info, 1));
  if (found == transports.end()) return done({});
  std::shared_ptr<Transport> transport = std::move(found->second);
  transports.erase(found);
  Workers::post(info.Env(), [transport, done] {
    if (transport->stopWithin(kPatience)) return done({});
    new std::shared_ptr<Transport>(transport);  // kept for ever: its thread does not come back
    done({ETIMEDOUT, "the provider " + transport->name().provider + " does not return"});
  });
}

Napi::Value offer(const Napi::CallbackInfo& info) { return toBytes(info.Env(), transportAt(info).offer()); }

// (transport, id, offer); completes with the answer.
void answer(const Napi::CallbackInfo& info) {
  Completions& completions = Completions::of(info.Env());
  double id = numberAt(info, 1);
  transportAt(info).answer(bytesAt(info, 2), [id, &completions](const IoStatus& status, const std::string& address) {
    completions.push({id, status.error, status.message, [address](Napi::Env env) { return toBytes(env, address); }});
  });
}

// (transport, id, address) -> peer
Napi::Value addPeer(const Napi::CallbackInfo& info) {
  PeerId peer = transportAt(info).addPeer(bytesAt(info, 2), reporter(info.Env(), numberAt(info, 1)));
  return Napi::Number::New(info.Env(), static_cast<double>(peer));
}

// (transport, peer, why)
void removePeer(const Napi::CallbackInfo& info) { transportAt(info).removePeer(integerAt(info, 1), {ENOTCONN, stringAt(info, 2)}); }

// (transport, id): all of the arena, as local memory.
void registerArena(const Napi::CallbackInfo& info) {
  Arena& arena = Arena::process();
  transportAt(info).registerMemory(arena.base(), arena.capacity(), nullptr, reporter(info.Env(), numberAt(info, 1)));
}

/** Completes with [published, address, key]. */
Transport::PublishedDone publishedReporter(Napi::Env env, double id) {
  Completions& completions = Completions::of(env);
  return [id, &completions](const IoStatus& status, const Published& published) {
    completions.push({id, status.error, status.message, [published](Napi::Env env) -> Napi::Value {
                        Napi::Array result = Napi::Array::New(env, 3);
                        result[0u] = static_cast<double>(published.id);
                        result[1u] = Napi::BigInt::New(env, published.address);
                        result[2u] = Napi::BigInt::New(env, published.key);
                        return result;
                      }});
  };
}

// (transport, id, handle, offset, length, access); completes as publishedReporter.
void publish(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 1);
  auto memory = std::make_shared<MemoryRef>(borrowMemory(info.Env(), numberAt(info, 2), numberAt(info, 3), numberAt(info, 4)));
  uint8_t* base = memory->data() + integerAt(info, 3);
  auto access = static_cast<uint8_t>(integerAt(info, 5));
  transportAt(info).publish(base, integerAt(info, 4), access, memory, publishedReporter(info.Env(), id));
}

/** Shared memory as peers reach it: mapped once more, so that it does not go with what JavaScript has of it. */
struct SharedMapping {
  uint8_t* const base;
  const size_t size;
  SharedMapping(void* mapped, size_t bytes) : base(static_cast<uint8_t*>(mapped)), size(bytes) {}
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping() { munmap(base, size); }
};

// (transport, id, descriptor, bytes, access): shared memory of this process; completes as publishedReporter.
void publishShared(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  double id = numberAt(info, 1);
  auto descriptor = static_cast<int>(integerAt(info, 2));
  auto bytes = static_cast<size_t>(integerAt(info, 3));
  auto access = static_cast<uint8_t>(integerAt(info, 4));
  Transport& transport = transportAt(info);
  struct stat file {};
  if (bytes == 0 || fstat(descriptor, &file) != 0 || static_cast<uint64_t>(file.st_size) < bytes)
    throw Completions::error(env, EINVAL, "the shared memory is smaller than it should be");
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (mapped == MAP_FAILED) throw Completions::error(env, errno, "shared memory cannot be mapped once more");
  auto memory = std::make_shared<SharedMapping>(mapped, bytes);
  transport.publish(memory->base, bytes, access, memory, publishedReporter(env, id));
}

// (transport, id, access): all of the arena, which lives as long as the process; completes as publishedReporter.
void publishArena(const Napi::CallbackInfo& info) {
  Arena& arena = Arena::process();
  auto access = static_cast<uint8_t>(integerAt(info, 2));
  auto done = publishedReporter(info.Env(), numberAt(info, 1));
  transportAt(info).publish(arena.base(), arena.capacity(), access, nullptr, done);
}

// (transport, id, published)
void withdraw(const Napi::CallbackInfo& info) {
  transportAt(info).withdraw(integerAt(info, 2), reporter(info.Env(), numberAt(info, 1)));
}

/** Has the request end with the CRC-32C of its local bytes, which a worker computes: when they have come, or while they go. */
void addChecksum(BulkRequest& request, double id, uint32_t seed, Completions& completions, ThreadPool& pool) {
  auto sum = [ranges = request.ranges, memory = request.memory, seed] {
    uint32_t crc = seed;
    for (const Range& range : ranges) crc = crc32c(crc, range.local, range.length);
    return crc;
  };
  auto push = [id, &completions](const IoStatus& status, uint32_t crc) {
    completions.push({id, status.error, status.message, [crc](Napi::Env env) { return Napi::Number::New(env, crc); }});
  };
  if (request.direction == Direction::kRead) {
    request.done = [sum, push, &pool](const IoStatus& status) {
      if (!status.ok()) return push(status, 0);
      auto task = [sum, push] { push({}, sum()); };
      if (!pool.post(task)) task();
    };
    return;
  }
  struct Both {
    std::atomic<int> left{2};
    IoStatus status;
    uint32_t crc = 0;
  };
  auto both = std::make_shared<Both>();
  auto ended = [both, push] {
    if (--both->left == 0) push(both->status, both->crc);
  };
  request.done = [both, ended](const IoStatus& status) {
    both->status = status;
    ended();
  };
  auto task = [both, ended, sum] {
    both->crc = sum();
    ended();
  };
  if (!pool.post(task)) task();
}

// (transport, id, peer, write, locals: handle, offset for each range; ranges: address, length, key; timeoutMs; seed: of a checksum, null: none) -> request
Napi::Value transfer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Transport& transport = transportAt(info);
  auto locals = info[4].As<Napi::Float64Array>();
  auto remote = info[5].As<Napi::BigUint64Array>();
  size_t count = remote.ElementLength() / kRangeWords;
  if (locals.ElementLength() != count * 2) throw Napi::RangeError::New(env, "not as many local as remote ranges");
  auto memories = std::make_shared<std::vector<MemoryRef>>();
  BulkRequest request;
  request.peer = integerAt(info, 2);
  request.direction = info[3].As<Napi::Boolean>().Value() ? Direction::kWrite : Direction::kRead;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t* range = remote.Data() + i * kRangeWords;
    double offset = locals[i * 2 + 1];
    MemoryRef memory = borrowMemory(env, locals[i * 2], offset, static_cast<double>(range[1]));
    request.ranges.push_back({memory.data() + static_cast<size_t>(offset), range[1], range[0], range[2]});
    memories->push_back(std::move(memory));
  }
  request.memory = memories;
  request.deadline = Clock::now() + std::chrono::milliseconds(integerAt(info, 6));
  double id = numberAt(info, 1);
  if (info[7].IsNumber()) addChecksum(request, id, info[7].As<Napi::Number>().Uint32Value(), Completions::of(env), Workers::poolOf(env));
  else request.done = reporter(env, id);
  return Napi::Number::New(env, static_cast<double>(transport.submit(std::move(request))));
}

// (transport, request)
void cancel(const Napi::CallbackInfo& info) { transportAt(info).cancel(integerAt(info, 1)); }

Napi::Object toObject(Napi::Env env, const TransferStatistics& statistics) {
  Napi::Object result = Napi::Object::New(env);
  auto put = [&](const char* name, uint64_t value) { result[name] = static_cast<double>(value); };
  put("bytesRead", statistics.bytesRead);
  put("bytesWritten", statistics.bytesWritten);
  put("operations", statistics.operations);
  put("requests", statistics.requests);
  put("errors", statistics.errors);
  put("timeouts", statistics.timeouts);
  put("cancelled", statistics.cancelled);
  put("retries", statistics.retries);
  Napi::Array latency = Napi::Array::New(env, LatencyHistogram::kBuckets);
  for (uint32_t i = 0; i < LatencyHistogram::kBuckets; ++i) latency[i] = static_cast<double>(statistics.latency.counts[i]);
  result["latency"] = latency;
  put("latencyMicroseconds", statistics.latency.microseconds);
  return result;
}

Napi::Value statistics(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Transport& transport = transportAt(info);
  Napi::Object result = toObject(env, transport.total());
  result["recoveries"] = static_cast<double>(transport.recoveries());
  auto stalled = std::chrono::duration_cast<std::chrono::milliseconds>(transport.sinceLastRound());
  result["stalledMs"] = static_cast<double>(stalled.count());
  Napi::Object peers = Napi::Object::New(env);
  for (const auto& [peer, its] : transport.byPeer()) peers[std::to_string(peer)] = toObject(env, its);
  result["peers"] = peers;
  return result;
}

}  // namespace

Transport& transportAt(const Napi::CallbackInfo& info) {
  auto& transports = Host::of(info.Env()).transports;
  auto found = transports.find(integerAt(info, 0));
  if (found == transports.end()) throw Completions::error(info.Env(), ESHUTDOWN, "the transport is closed");
  return *found->second;
}

void initFabric(Napi::Env env, Napi::Object exports) {
  exports["fabricInspect"] = Napi::Function::New(env, inspect, "fabricInspect");
  exports["fabricOpen"] = Napi::Function::New(env, open, "fabricOpen");
  exports["fabricClose"] = Napi::Function::New(env, close, "fabricClose");
  exports["fabricOffer"] = Napi::Function::New(env, offer, "fabricOffer");
  exports["fabricAnswer"] = Napi::Function::New(env, answer, "fabricAnswer");
  exports["fabricAddPeer"] = Napi::Function::New(env, addPeer, "fabricAddPeer");
  exports["fabricRemovePeer"] = Napi::Function::New(env, removePeer, "fabricRemovePeer");
  exports["fabricRegisterArena"] = Napi::Function::New(env, registerArena, "fabricRegisterArena");
  exports["fabricPublish"] = Napi::Function::New(env, publish, "fabricPublish");
  exports["fabricPublishShared"] = Napi::Function::New(env, publishShared, "fabricPublishShared");
  exports["fabricPublishArena"] = Napi::Function::New(env, publishArena, "fabricPublishArena");
  exports["fabricWithdraw"] = Napi::Function::New(env, withdraw, "fabricWithdraw");
  exports["fabricTransfer"] = Napi::Function::New(env, transfer, "fabricTransfer");
  exports["fabricCancel"] = Napi::Function::New(env, cancel, "fabricCancel");
  exports["fabricStatistics"] = Napi::Function::New(env, statistics, "fabricStatistics");
}

}  // namespace kafabric::binding
