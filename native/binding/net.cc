// The class NetCore: net::Net for src/native/net.ts, which describes the shared buffers' layout.
#include "binding/net.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

#include "batch/crc32c.h"
#include "batch/produce_check.h"
#include "batch/reference.h"
#include "binding/arena.h"
#include "binding/environment.h"
#include "binding/loop_poll.h"
#include "binding/wakeup.h"
#include "net/net.h"
#include "store/thread_pool.h"

namespace kafabric::binding {

namespace {

using net::Command;
using net::CommandBatch;

constexpr uint32_t kOutboxCommands = 2048;
constexpr size_t kOutboxBytes = 512 << 10;
constexpr int kTurnsPerPoll = 4;

/** One command as JavaScript writes it. */
struct OutboxCommand {
  double kind;  // 0 bytes, 1 memory, 2 file, 3 close, 4 pause, 5 resume
  double connection;
  double endsReply;  // 1, or 2 when its end is to be reported
  double reference;  // memory handle or file id
  double offset;
  double length;
  double file;  // of memory: the id of the file that has the same bytes at `filePosition`, or 0
  double filePosition;
};

Napi::ArrayBuffer share(Napi::Env env, std::shared_ptr<net::Region> region) {
  auto* held = new std::shared_ptr<net::Region>(region);
  return Napi::ArrayBuffer::New(
      env, region->data(), region->size(),
      [](Napi::Env, void*, std::shared_ptr<net::Region>* holder) { delete holder; }, held);
}

double number(const Napi::Object& options, const char* name, double least, double most) {
  Napi::Value value = options.Get(name);
  double result = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(result >= least && result <= most)) {
    throw Napi::RangeError::New(options.Env(), std::string(name) + " must be between " +
                                                   std::to_string(static_cast<uint64_t>(least)) + " and " +
                                                   std::to_string(static_cast<uint64_t>(most)));
  }
  return result;
}

net::Options readOptions(const Napi::Object& from) {
  constexpr double kAny = 9007199254740991.0;
  net::Options to;
  to.threads = static_cast<uint32_t>(number(from, "threads", 1, 64));
  to.maxFrameBytes = static_cast<uint32_t>(number(from, "maxFrameBytes", 1, INT32_MAX));
  to.largeFrameBytes = static_cast<uint32_t>(number(from, "largeFrameBytes", 0, 1 << 20));
  to.maxRequestsPerConnection = static_cast<uint32_t>(number(from, "maxRequestsPerConnection", 1, 1 << 20));
  to.maxBytesPerConnection = static_cast<uint64_t>(number(from, "maxBytesPerConnection", 1, kAny));
  to.maxInFlightBytes = static_cast<uint64_t>(number(from, "maxInFlightBytes", 1, kAny));
  to.maxConnections = static_cast<uint32_t>(number(from, "maxConnections", 1, UINT32_MAX));
  to.maxConnectionsPerIp = static_cast<uint32_t>(number(from, "maxConnectionsPerIp", 0, UINT32_MAX));
  to.idleMs = static_cast<uint64_t>(number(from, "idleMs", 0, kAny));
  to.stalledFrameMs = static_cast<uint64_t>(number(from, "stalledFrameMs", 1, kAny));
  to.heldReplyMs = static_cast<uint64_t>(number(from, "heldReplyMs", 0, kAny));
  to.stalledReplyMs = static_cast<uint64_t>(number(from, "stalledReplyMs", 1, kAny));
  to.peerTimeoutMs = static_cast<uint32_t>(number(from, "peerTimeoutMs", 1000, INT32_MAX));
  to.handshakeMs = static_cast<uint32_t>(number(from, "handshakeMs", 1, INT32_MAX));
  to.backlog = static_cast<uint32_t>(number(from, "backlog", 1, 65535));
  to.busyPollMicros = static_cast<uint32_t>(number(from, "busyPollMicros", 0, 1'000'000));
  to.sendBufferBytes = static_cast<uint32_t>(number(from, "sendBufferBytes", 0, INT32_MAX));
  to.receiveBufferBytes = static_cast<uint32_t>(number(from, "receiveBufferBytes", 0, INT32_MAX));
  return to;
}

Napi::Error systemError(Napi::Env env, const std::system_error& error) {
  static const struct {
    int number;
    const char* code;
  } kCodes[] = {{EADDRINUSE, "EADDRINUSE"}, {EADDRNOTAVAIL, "EADDRNOTAVAIL"}, {EACCES, "EACCES"},
                {EINVAL, "EINVAL"},         {EMFILE, "EMFILE"},               {EAFNOSUPPORT, "EAFNOSUPPORT"}};
  Napi::Error result = Napi::Error::New(env, error.what());
  for (const auto& known : kCodes) {
    if (known.number == error.code().value()) result.Set("code", Napi::String::New(env, known.code));
  }
  return result;
}

std::vector<std::string> textsOf(const Napi::Value& value) {
  auto from = value.As<Napi::Array>();
  std::vector<std::string> to;
  for (uint32_t i = 0; i < from.Length(); ++i) to.push_back(from.Get(i).As<Napi::String>().Utf8Value());
  return to;
}

/** Null for null, else what src/native/net.ts calls a NetTls. Throws what is wrong with it. */
std::shared_ptr<const net::TlsServer> tlsOf(const Napi::Value& value) {
  if (value.IsNull()) return nullptr;
  auto from = value.As<Napi::Object>();
  net::TlsSettings settings;
  settings.certificates = textsOf(from.Get("certificates"));
  settings.key = from.Get("key").As<Napi::String>().Utf8Value();
  settings.authorities = textsOf(from.Get("authorities"));
  std::string auth = from.Get("clientAuth").As<Napi::String>().Utf8Value();
  using ClientAuth = net::TlsSettings::ClientAuth;
  settings.clientAuth = auth == "required" ? ClientAuth::kRequired : auth == "requested" ? ClientAuth::kRequested : ClientAuth::kNone;
  settings.allowsVersion12 = from.Get("allowsVersion12").As<Napi::Boolean>().Value();
  std::string error;
  auto server = net::TlsServer::make(settings, error);
  if (!server) throw Napi::Error::New(value.Env(), error);
  return server;
}

class NetCore : public Napi::ObjectWrap<NetCore> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports["NetCore"] = DefineClass(env, "NetCore",
                                     {
                                         InstanceMethod<&NetCore::inboxes>("inboxes"),
                                         InstanceMethod<&NetCore::outbox>("outbox"),
                                         InstanceMethod<&NetCore::listen>("listen"),
                                         InstanceMethod<&NetCore::setTls>("setTls"),
                                         InstanceMethod<&NetCore::stopAccepting>("stopAccepting"),
                                         InstanceMethod<&NetCore::collect>("collect"),
                                         InstanceMethod<&NetCore::release>("release"),
                                         InstanceMethod<&NetCore::submit>("submit"),
                                         InstanceMethod<&NetCore::drain>("drain"),
                                         InstanceMethod<&NetCore::stop>("stop"),
                                         InstanceMethod<&NetCore::setReferenceMinBytes>("setReferenceMinBytes"),
                                         InstanceMethod<&NetCore::stats>("stats"),
                                     });
  }

  /** new NetCore(options, onEvents, afterEvents) */
  explicit NetCore(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NetCore>(info) {
    Napi::Env env = info.Env();
    net::Options options = readOptions(info[0].As<Napi::Object>());
    Arena& arena = Arena::process();
    if (options.maxFrameBytes > arena.capacity()) {
      throw Napi::RangeError::New(env, "maxFrameBytes is larger than the arena");
    }
    options.locateRecords = [](const uint8_t* frame, size_t available, size_t length, net::FrameRecords* found, size_t most) {
      PartitionRecords located[net::kMostLocated];
      size_t count = locateRecords(frame, available, length, located, std::min(most, net::kMostLocated));
      for (size_t i = 0; i < count; ++i) found[i] = {located[i].partitionHash, located[i].range.offset, located[i].range.length};
      return count;
    };
    options.checkFrame = [checker = checker_](const uint8_t* frame, size_t length, const std::vector<net::FramePart>& parts) -> std::shared_ptr<void> {
      KnownSums known;
      known.reserve(parts.size());
      for (const net::FramePart& part : parts) known.add(part.start, part.length, part.sum);
      return checker->check(frame, length, known);
    };
    auto sum = [](const uint8_t* part, size_t length) { return crc32c(0, part, length); };
    options.partSums = {ProduceChecker::sumsFrom, sum, kExtentPieceBytes};
    wakeup_ = std::make_unique<Wakeup>(env, "kafabric net", info[1].As<Napi::Function>(), info[2].As<Napi::Function>());
    try {
      net_ = std::make_unique<net::Net>(options, arena, [wakeup = wakeup_.get()] { wakeup->signal(); });
    } catch (const std::system_error& error) {
      throw systemError(env, error);
    }
    outbox_ = std::make_shared<net::Region>(kOutboxBytes + kOutboxCommands * sizeof(OutboxCommand));
    batches_.resize(net_->reactors());
    for (size_t i = 0; i < net_->reactors(); ++i) {
      polls_.push_back(std::make_unique<LoopPoll>(env, net_->reactor(i).pollFd(), [this, i] { serve(i); }));
    }
    hook_ = std::make_unique<CleanupHook>(env, [this] { end(); });
  }
  ~NetCore() override { end(); }

 private:
  void end() {
    polls_.clear();
    if (net_) net_->stop();
    if (wakeup_) wakeup_->close();
  }

  /** The event loop found sockets ready that reactor `index` has lent to it. A few turns at once spare the loop's own; others come then. */
  void serve(size_t index) {
    net::Reactor& reactor = net_->reactor(index);
    auto served = net::Reactor::Served::kSome;
    // A callback may end it all.
    for (int turn = 0; turn < kTurnsPerPoll && served == net::Reactor::Served::kSome && !polls_.empty(); ++turn) {
      served = reactor.serveHere();
      if (served == net::Reactor::Served::kNone) return;
      polls_[index]->set(served != net::Reactor::Served::kNotLent);
      LateWakeups late;
      wakeup_->call();
    }
  }

  // [{ buffer, dataBytes, events }] by reactor
  Napi::Value inboxes(const Napi::CallbackInfo& info) {
    Napi::Array result = Napi::Array::New(info.Env(), net_->reactors());
    for (uint32_t i = 0; i < net_->reactors(); ++i) {
      net::Inbox& inbox = net_->reactor(i).inbox();
      Napi::Object one = Napi::Object::New(info.Env());
      one["buffer"] = share(info.Env(), inbox.region());
      one["dataBytes"] = static_cast<double>(inbox.dataBytes());
      one["events"] = net::Inbox::kEvents;
      result[i] = one;
    }
    return result;
  }

  // { buffer, dataBytes, commands }
  Napi::Value outbox(const Napi::CallbackInfo& info) {
    Napi::Object result = Napi::Object::New(info.Env());
    result["buffer"] = share(info.Env(), outbox_);
    result["dataBytes"] = static_cast<double>(kOutboxBytes);
    result["commands"] = kOutboxCommands;
    return result;
  }

  // (ip, port, tls) → [listener, port]; tls: see tlsOf
  Napi::Value listen(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    try {
      auto listening = net_->listen(info[0].As<Napi::String>().Utf8Value(),
                                    static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value()), tlsOf(info[2]));
      wakeup_->ref();
      Napi::Array result = Napi::Array::New(env, 2);
      result[0u] = listening.listener;
      result[1u] = listening.port;
      return result;
    } catch (const std::system_error& error) {
      throw systemError(env, error);
    }
  }

  // (listener, tls)
  void setTls(const Napi::CallbackInfo& info) { net_->setTls(info[0].As<Napi::Number>().Uint32Value(), tlsOf(info[1])); }

  void stopAccepting(const Napi::CallbackInfo&) { net_->stopAccepting(); }

  // (reactor) → number of events; the first one follows the last one released
  Napi::Value collect(const Napi::CallbackInfo& info) {
    uint32_t index = info[0].As<Napi::Number>().Uint32Value();
    if (index < polls_.size()) polls_[index]->set(net_->reactor(index).lent());
    net::Inbox& inbox = net_->reactor(index).inbox();
    net::Inbox::Batch batch = inbox.collect();
    ArenaHolds& holds = arenaHolds(info.Env());
    for (uint32_t i = 0; i < batch.count; ++i) {
      net::LargeFrame large = inbox.takeLargeFrame((batch.first + i) % net::Inbox::kEvents);
      if (large.memory) holds.give(std::move(large.memory), std::static_pointer_cast<CheckedFrame>(large.checked));
    }
    return Napi::Number::New(info.Env(), batch.count);
  }

  // (reactor, count)
  void release(const Napi::CallbackInfo& info) {
    net_->release(info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Number>().Uint32Value());
  }

  // (count): hands the outbox's first `count` commands to the reactors
  void submit(const Napi::CallbackInfo& info) {
    handOver(info.Env(), std::min(info[0].As<Napi::Number>().Uint32Value(), kOutboxCommands));
  }

  /** Without memory for it the process ends: a reply of which a part is missing would be read as another one. */
  void handOver(Napi::Env env, uint32_t count) noexcept {
    const auto* commands = reinterpret_cast<const OutboxCommand*>(outbox_->data() + kOutboxBytes);
    for (uint32_t i = 0; i < count; ++i) {
      auto connection = static_cast<uint64_t>(commands[i].connection);
      add(env, commands[i], connection, batches_[net_->reactorOf(connection)]);
    }
    for (size_t i = 0; i < batches_.size(); ++i) {
      if (batches_[i].empty()) continue;
      net_->reactor(i).submit(batches_[i]);
    }
    LateWakeups::wake();
  }

  void add(Napi::Env env, const OutboxCommand& from, uint64_t connection, CommandBatch& batch) {
    Command to;
    to.connection = connection;
    to.endsReply = from.endsReply != 0;
    to.reports = from.endsReply == 2;
    to.offset = static_cast<uint64_t>(from.offset);
    to.length = static_cast<uint64_t>(from.length);
    if (from.kind == 0 && to.offset <= kOutboxBytes && to.length <= kOutboxBytes - to.offset) {
      const uint8_t* bytes = outbox_->data() + to.offset;
      to.kind = Command::Kind::kBytes;
      to.offset = batch.bytes.size();
      batch.bytes.insert(batch.bytes.end(), bytes, bytes + to.length);
    } else if (from.kind == 1) {
      to.kind = Command::Kind::kMemory;
      to.memory = arenaHolds(env).borrow(static_cast<uint64_t>(from.reference));
      if (from.file > 0) to.file = FileHandle::find(static_cast<uint64_t>(from.file));
      to.filePosition = static_cast<uint64_t>(from.filePosition);
      to.failed = !to.memory || to.offset > to.memory.size() || to.length > to.memory.size() - to.offset;
    } else if (from.kind == 2) {
      to.kind = Command::Kind::kFile;
      to.file = FileHandle::find(static_cast<uint64_t>(from.reference));
      to.failed = !to.file;
    } else if (from.kind == 4 || from.kind == 5) {
      to.kind = from.kind == 4 ? Command::Kind::kPause : Command::Kind::kResume;
    } else {
      to.kind = Command::Kind::kClose;
    }
    // What the reply promises cannot be sent: its memory or file is no longer there.
    if (to.failed) to.kind = Command::Kind::kClose;
    batch.commands.push_back(std::move(to));
  }

  // (milliseconds from now)
  void drain(const Napi::CallbackInfo& info) {
    wakeup_->ref();  // the end of the drain is waited for
    net_->drain(net::monotonicMs() + static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
  }

  void stop(const Napi::CallbackInfo&) { end(); }

  // (bytes, negative: never)
  void setReferenceMinBytes(const Napi::CallbackInfo& info) {
    int64_t bytes = info[0].As<Napi::Number>().Int64Value();
    checker_->setReferenceMinBytes(bytes < 0 ? SIZE_MAX : static_cast<size_t>(bytes));
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    net::Net::Stats now = net_->stats();
    Napi::Object result = Napi::Object::New(info.Env());
    result["receivedBytes"] = static_cast<double>(now.receivedBytes);
    result["sentBytes"] = static_cast<double>(now.sentBytes);
    result["frames"] = static_cast<double>(now.frames);
    result["givenBackBytes"] = static_cast<double>(now.givenBackBytes);
    result["replies"] = static_cast<double>(now.replies);
    result["connections"] = static_cast<double>(now.connections);
    result["inFlightBytes"] = static_cast<double>(now.inFlightBytes);
    return result;
  }

  std::shared_ptr<ProduceChecker> checker_ = std::make_shared<ProduceChecker>();
  // Destroyed in reverse: the hook first, the wake-up after the threads that signal it.
  std::unique_ptr<Wakeup> wakeup_;
  std::unique_ptr<net::Net> net_;
  std::vector<std::unique_ptr<LoopPoll>> polls_;
  std::shared_ptr<net::Region> outbox_;
  std::vector<CommandBatch> batches_;
  std::unique_ptr<CleanupHook> hook_;
};

}  // namespace

void initNet(Napi::Env env, Napi::Object exports) { NetCore::init(env, exports); }

}  // namespace kafabric::binding
