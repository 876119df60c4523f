#include "binding/direct.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "binding/arena.h"
#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/loop_poll.h"
#include "binding/workers.h"
#include "direct/move.h"
#include "direct/region_socket.h"

namespace kafabric::binding {

using namespace direct;

namespace {

/** Peers that have connected and sent nothing yet; the oldest gives way. */
constexpr size_t kMaxSilentPeers = 64;
/** Words of a move before its blocks: kind, memory, start, length, target, target offset, blocks. */
constexpr size_t kMoveWords = 7;
constexpr size_t kBlockWords = 4;

/** The memory of clients that one environment serves, by number. */
struct Regions {
  std::unordered_map<uint64_t, std::shared_ptr<Region>> byId;
  uint64_t nextId = 1;
};

Regions& regionsOf(Napi::Env env) { return Environment::of(env).part<Regions>(); }

/** A listening socket and the peers that have not said what they want. */
class HostedRegionSocket : public Napi::ObjectWrap<HostedRegionSocket> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "RegionSocket", {InstanceMethod("close", &HostedRegionSocket::closeAll)});
  }

  // (abstract name, onOffer(token, size, uid, pid, region or -errno) -> the answer)
  explicit HostedRegionSocket(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    int fd = listenAbstract(stringAt(info, 0));
    if (fd < 0) throw Completions::error(info.Env(), -fd, "the socket for shared memory cannot be opened");
    onOffer_ = Napi::Persistent(info[1].As<Napi::Function>());
    listening_ = watch(fd, [this] { acceptAll(); });
  }
  ~HostedRegionSocket() override { close(); }

 private:
  struct Watched {
    Watched(Napi::Env env, int fd, std::function<void()> onReadable) : fd(fd), poll(env, fd, std::move(onReadable)) {
      poll.set(true);
    }
    int fd;
    LoopPoll poll;
    Peer peer{};
    ~Watched() {
      poll.close();
      ::close(fd);
    }
  };

  std::unique_ptr<Watched> watch(int fd, std::function<void()> onReadable) {
    return std::make_unique<Watched>(Env(), fd, std::move(onReadable));
  }

  void acceptAll() {
    for (;;) {
      Peer peer;
      int fd = acceptPeer(listening_->fd, peer);
      if (fd == -EINTR || fd == -ECONNABORTED) continue;
      if (fd < 0) return;
      if (peers_.size() >= kMaxSilentPeers) peers_.erase(peers_.begin());
      peers_.push_back(watch(fd, [this, fd] { receive(fd); }));
      peers_.back()->peer = peer;
    }
  }

  void receive(int fd) {
    auto at = peers_.begin();
    while (at != peers_.end() && (*at)->fd != fd) ++at;
    if (at == peers_.end()) return;
    RegionOffer offer{};
    int received = -1;
    int error = receiveOffer(fd, offer, received);
    if (error == EAGAIN || error == EINTR) return;
    std::unique_ptr<Watched> peer = std::move(*at);
    peers_.erase(at);
    if (error == 0) error = checkRegion(received, offer.size);
    if (error == EPROTO && received < 0) return;
    answerOffer(fd, ask(offer, peer->peer, received, error));
  }

  /** Takes over `fd`. What JavaScript answers, a region's number if it takes it. */
  int64_t ask(const RegionOffer& offer, const Peer& peer, int fd, int error) {
    Napi::Env env = Env();
    Regions& regions = regionsOf(env);
    uint64_t id = regions.nextId;
    auto region = std::make_shared<Region>(fd, offer.size);
    if (error == 0) regions.byId[regions.nextId++] = region;
    auto token = Napi::Uint8Array::New(env, offer.token.size());
    std::memcpy(token.Data(), offer.token.data(), offer.token.size());
    double found = error == 0 ? static_cast<double>(id) : -error;
    try {
      Napi::Value answer = onOffer_.Call({token, Napi::Number::New(env, static_cast<double>(offer.size)),
                                          Napi::Number::New(env, peer.uid), Napi::Number::New(env, peer.pid),
                                          Napi::Number::New(env, found)});
      auto number = answer.As<Napi::Number>().Int64Value();
      if (number < 0) regions.byId.erase(id);
      return number;
    } catch (const Napi::Error& thrown) {
      regions.byId.erase(id);
      thrown.ThrowAsJavaScriptException();
      return -EIO;
    }
  }

  void closeAll(const Napi::CallbackInfo&) { close(); }
  void close() {
    peers_.clear();
    listening_.reset();
  }

  Napi::FunctionReference onOffer_;
  std::unique_ptr<Watched> listening_;
  std::vector<std::unique_ptr<Watched>> peers_;
};

// (region): what is under way with it still ends.
void closeRegion(const Napi::CallbackInfo& info) { regionsOf(info.Env()).byId.erase(integerAt(info, 0)); }

std::shared_ptr<Region> regionAt(Napi::Env env, double id) {
  auto& byId = regionsOf(env).byId;
  auto found = byId.find(static_cast<uint64_t>(id));
  if (found == byId.end()) throw Napi::RangeError::New(env, "no such region");
  return found->second;
}

/** Reads the words of JavaScript's moves, and checks every range. */
class MoveReader {
 public:
  MoveReader(Napi::Env env, const Napi::Float64Array& words) : env_(env), word_(words.Data()), end_(word_ + words.ElementLength()) {}

  bool more() const { return word_ < end_; }

  Move next() {
    need(kMoveWords);
    Move move;
    move.kind = static_cast<Move::Kind>(static_cast<uint8_t>(word_[0]));
    if (!(word_[0] >= 0 && word_[0] <= 3)) refuse("no such kind of move");
    move.memory = borrowMemory(env_, word_[1], word_[2], word_[3]);
    auto start = static_cast<size_t>(word_[2]);
    auto length = static_cast<size_t>(word_[3]);
    double target = word_[4];
    double targetOffset = word_[5];
    auto count = static_cast<size_t>(word_[6]);
    word_ += kMoveWords;
    uint64_t bytes = 0;
    move.blocks.reserve(std::min<size_t>(count, static_cast<size_t>(end_ - word_) / kBlockWords));
    for (size_t i = 0; i < count; ++i) bytes += readBlocks(move, start, length);
    aim(move, target, targetOffset, bytes);
    return move;
  }

 private:
  [[noreturn]] void refuse(const char* what) { throw Napi::RangeError::New(env_, what); }

  void need(size_t words) {
    if (static_cast<size_t>(end_ - word_) < words) refuse("the moves are incomplete");
  }

  static bool isCount(double value) { return value >= 0 && value <= 9007199254740991.0; }

  uint64_t readBlocks(Move& move, size_t start, size_t length) {
    need(kBlockWords);
    for (size_t i = 0; i < kBlockWords; ++i)
      if (!isCount(word_[i])) refuse("a range is not a range");
    Blocks blocks{static_cast<size_t>(word_[0]), static_cast<size_t>(word_[1]), static_cast<size_t>(word_[2]),
                  static_cast<size_t>(word_[3])};
    word_ += kBlockWords;
    double last = static_cast<double>(blocks.offset) +
                  (blocks.count == 0 ? 0 : static_cast<double>(blocks.count - 1) * static_cast<double>(blocks.stride)) +
                  static_cast<double>(blocks.block);
    double bytes = static_cast<double>(blocks.count) * static_cast<double>(blocks.block);
    if (last > static_cast<double>(length) || bytes > 4294967296.0) refuse("a range lies outside its memory");
    blocks.offset += start;
    move.blocks.push_back(blocks);
    return blocks.bytes();
  }

  void aim(Move& move, double target, double offset, uint64_t bytes) {
    if (move.kind == Move::Kind::kCheck) return;
    if (!isCount(offset)) refuse("a target is not a place");
    move.targetOffset = static_cast<uint64_t>(offset);
    if (move.kind == Move::Kind::kGather) {
      move.target = borrowMemory(env_, target, offset, static_cast<double>(bytes));
      return;
    }
    move.region = regionAt(env_, target);
    if (!move.region->holds(move.targetOffset, bytes)) refuse("a target lies outside its region");
    bool one = move.blocks.size() == 1 && move.blocks[0].count == 1;
    if (move.kind == Move::Kind::kPull && !one) refuse("what is pulled goes to one place");
  }

  Napi::Env env_;
  const double* word_;
  const double* end_;
};

// (id, words); completes with error and CRC of each move.
void moveAll(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  auto moves = std::make_shared<std::vector<Move>>();
  MoveReader reader(info.Env(), info[1].As<Napi::Float64Array>());
  while (reader.more()) moves->push_back(reader.next());
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, moves = std::move(moves), &completions]() mutable {
    auto results = std::make_shared<std::vector<Moved>>();
    Completion done;
    done.id = id;
    try {
      for (const Move& move : *moves) results->push_back(perform(move));
      done.result = [results](Napi::Env env) {
        auto array = Napi::Float64Array::New(env, results->size() * 2);
        for (size_t i = 0; i < results->size(); ++i) {
          array[2 * i] = (*results)[i].error;
          array[2 * i + 1] = (*results)[i].crc;
        }
        return array;
      };
    } catch (const std::bad_alloc&) {
      done.error = ENOMEM;
      done.message = "not enough memory to copy";
    }
    moves.reset();  // memory goes back before anyone hears of it
    completions.push(std::move(done));
  });
}

/** Memory that a client shares, in JavaScript's hands: it goes with the ArrayBuffer. */
struct Shared {
  const int fd;
  const size_t size;
  void* base = MAP_FAILED;
  Shared(int opened, size_t bytes) : fd(opened), size(bytes) {}
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    if (base != MAP_FAILED) munmap(base, size);
    close(fd);
  }
};

// (id, bytes); completes with [ArrayBuffer, descriptor], which closes with the buffer.
void createSharedBuffer(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  auto size = static_cast<size_t>(integerAt(info, 1));
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, size, &completions] {
    Completion done;
    done.id = id;
    int fd = createShared(size);
    auto shared = fd < 0 ? nullptr : std::make_shared<Shared>(fd, size);
    if (shared) shared->base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (!shared || shared->base == MAP_FAILED) {
      done.error = fd < 0 ? -fd : ENOMEM;
      done.message = "shared memory cannot be had";
    } else {
      done.result = [shared](Napi::Env env) -> Napi::Value {
        auto* held = new std::shared_ptr<Shared>(shared);
        Napi::Array result = Napi::Array::New(env, 2);
        result[0u] = Napi::ArrayBuffer::New(
            env, shared->base, shared->size,
            [](Napi::Env, void*, std::shared_ptr<Shared>* holder) { delete holder; }, held);
        result[1u] = shared->fd;
        return result;
      };
    }
    completions.push(std::move(done));
  });
}

// (id, socket name, token, size, descriptor, time-out in ms); completes with the server's answer.
void offerShared(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  std::string name = stringAt(info, 1);
  auto token = info[2].As<Napi::Uint8Array>();
  if (token.ByteLength() != kTokenBytes) throw Napi::RangeError::New(info.Env(), "a token has 16 bytes");
  RegionOffer offer{};
  std::memcpy(offer.token.data(), token.Data(), kTokenBytes);
  offer.size = integerAt(info, 3);
  // The buffer may go while this is under way.
  int fd = dup(static_cast<int>(integerAt(info, 4)));
  int timeoutMs = static_cast<int>(integerAt(info, 5));
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [=, &completions] {
    Descriptor held(fd);
    int64_t answer = held.fd < 0 ? -EBADF : offerRegion(name, offer, held.fd, timeoutMs);
    Completion done;
    done.id = id;
    done.result = [answer](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(answer)); };
    completions.push(std::move(done));
  });
}

}  // namespace

void initDirect(Napi::Env env, Napi::Object exports) {
  exports["RegionSocket"] = HostedRegionSocket::define(env);
  exports["regionClose"] = Napi::Function::New(env, closeRegion, "regionClose");
  exports["directMove"] = Napi::Function::New(env, moveAll, "directMove");
  exports["sharedCreate"] = Napi::Function::New(env, createSharedBuffer, "sharedCreate");
  exports["sharedOffer"] = Napi::Function::New(env, offerShared, "sharedOffer");
}

}  // namespace kafabric::binding
