// The class RegionSocket: direct::RegionServer for src/native/direct.ts.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "arena/arena.h"
#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/direct.h"
#include "binding/wakeup.h"
#include "direct/region_server.h"
#include "store/descriptor.h"

namespace kafabric::binding {

using namespace direct;

namespace {

class HostedRegionSocket : public Napi::ObjectWrap<HostedRegionSocket> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "RegionSocket",
                       {InstanceMethod("collect", &HostedRegionSocket::collect), InstanceMethod("answer", &HostedRegionSocket::answer),
                        InstanceMethod("lend", &HostedRegionSocket::lend), InstanceMethod("turnedAway", &HostedRegionSocket::turnedAway),
                        InstanceMethod("close", &HostedRegionSocket::closeAll)});
  }

  // (abstract name, onRequests, user ids whose memory is wanted beside that of this one and of root; null: everybody's)
  explicit HostedRegionSocket(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Napi::Env env = info.Env();
    wakeup_ = std::make_unique<Wakeup>(env, "kafabric shared memory", info[1].As<Napi::Function>());
    RegionServer::Trust trust = trustOf(info[2]);
    int fd = listenAbstract(stringAt(info, 0));
    if (fd < 0) throw Completions::error(env, -fd, "the socket for shared memory cannot be opened");
    try {
      server_ = std::make_unique<RegionServer>(fd, [wakeup = wakeup_.get()] { wakeup->signal(); }, std::move(trust));
    } catch (const std::system_error& error) {
      throw Completions::error(env, error.code().value(), error.what());
    }
    hook_ = std::make_unique<CleanupHook>(env, [this] { close(); });
  }
  ~HostedRegionSocket() override { close(); }

 private:
  static RegionServer::Trust trustOf(const Napi::Value& users) {
    if (users.IsNull()) return [](uid_t) { return true; };
    std::set<uid_t> trusted{::getuid(), 0};
    auto list = users.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) trusted.insert(list.Get(i).As<Napi::Number>().Uint32Value());
    return [trusted](uid_t user) { return trusted.count(user) > 0; };
  }

  // → [kind: 0 offer, 1 map, 2 gone; peer, token, size, uid, pid, region or a negative errno value][]
  Napi::Value collect(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Napi::Array result = Napi::Array::New(env);
    if (!server_) return result;
    uint32_t count = 0;
    for (RegionServer::Request& request : server_->take()) {
      Napi::Array one = Napi::Array::New(env, 7);
      auto token = Napi::Uint8Array::New(env, request.offer.token.size());
      std::memcpy(token.Data(), request.offer.token.data(), request.offer.token.size());
      one[0u] = static_cast<double>(request.kind);
      one[1u] = static_cast<double>(request.peer);
      one[2u] = token;
      one[3u] = static_cast<double>(request.offer.size);
      one[4u] = static_cast<double>(request.who.uid);
      one[5u] = static_cast<double>(request.who.pid);
      one[6u] = static_cast<double>(adopt(env, request));
      result[count++] = one;
    }
    return result;
  }

  /** The number of an offer's region, if it is taken. */
  int64_t adopt(Napi::Env env, RegionServer::Request& request) {
    if (request.kind != RegionServer::Request::Kind::kOffer) return 0;
    if (request.error != 0) {
      if (request.fd >= 0) ::close(request.fd);
      return -request.error;
    }
    uint64_t number = Regions::of(env).nextId++;
    offered_[request.peer] = {number, std::make_unique<Descriptor>(request.fd), request.offer.size};
    return static_cast<int64_t>(number);
  }

  // (peer, a region's number, which there is from then on, or a negative errno value)
  void answer(const Napi::CallbackInfo& info) {
    if (!server_) return;
    uint64_t peer = integerAt(info, 0);
    int64_t number = info[1].As<Napi::Number>().Int64Value();
    auto found = offered_.find(peer);
    if (found != offered_.end()) {
      Offered& offered = found->second;
      // Not mapped before: whoever may offer nothing could have all of the address space taken.
      if (number >= 0) Regions::of(info.Env()).byId[offered.number] = std::make_shared<Region>(std::exchange(offered.memory->fd, -1), offered.size);
      offered_.erase(found);
    }
    server_->answer(peer, number);
  }

  // (peer): lends it the process's arena, which has to be shared; 0 or a negative errno value, which the peer gets as well: it will not be gone
  Napi::Value lend(const Napi::CallbackInfo& info) {
    if (!server_) return Napi::Number::New(info.Env(), -EBADF);
    Arena& arena = Arena::process();
    // A description of its own: the lock on the arena's file says whether this process lives, not whether its clients do.
    int fd = arena.shared() ? arena.sharedFile()->open() : -ENOTSUP;
    ServerMemory memory{fd < 0 ? fd : static_cast<int64_t>(arena.capacity()), SharedFile::kDataOffset};
    bool kept = server_->answer(integerAt(info, 0), memory, fd);
    if (fd >= 0) ::close(fd);
    return Napi::Number::New(info.Env(), fd < 0 ? fd : kept ? 0 : -ENOSPC);
  }

  Napi::Value turnedAway(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), server_ ? static_cast<double>(server_->stats().turnedAway) : 0);
  }

  void closeAll(const Napi::CallbackInfo&) { close(); }
  void close() {
    server_.reset();
    if (wakeup_) wakeup_->close();
  }

  /** Memory of which it is not known yet whether it is taken. */
  struct Offered {
    uint64_t number = 0;
    std::unique_ptr<Descriptor> memory;
    uint64_t size = 0;
  };

  // Destroyed in reverse: the hook first, the wake-up after the thread that signals it.
  std::unique_ptr<Wakeup> wakeup_;
  std::unique_ptr<RegionServer> server_;
  std::unordered_map<uint64_t, Offered> offered_;  // by peer
  std::unique_ptr<CleanupHook> hook_;
};

}  // namespace

void initRegionSocket(Napi::Env env, Napi::Object exports) { exports["RegionSocket"] = HostedRegionSocket::define(env); }

}  // namespace kafabric::binding
