// Memory that clients share with a server: their own, which they hand over, and the server's, of which they see parts.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/direct.h"
#include "binding/workers.h"
#include "direct/lent_memory.h"
#include "direct/region_socket.h"
#include "store/descriptor.h"

namespace kafabric::binding {

using namespace direct;

namespace {

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
  Workers::post(info.Env(), id, [id, size, &completions] {
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

std::array<uint8_t, kTokenBytes> tokenAt(const Napi::CallbackInfo& info, size_t index) {
  auto bytes = info[index].As<Napi::Uint8Array>();
  if (bytes.ByteLength() != kTokenBytes) throw Napi::RangeError::New(info.Env(), "a token has 16 bytes");
  std::array<uint8_t, kTokenBytes> token;
  std::memcpy(token.data(), bytes.Data(), kTokenBytes);
  return token;
}

// (id, socket name, token, size, descriptor, time-out in ms); completes with the server's answer.
void offerShared(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  std::string name = stringAt(info, 1);
  RegionOffer offer{tokenAt(info, 2), integerAt(info, 3)};
  // The buffer may go while this is under way.
  int fd = fcntl(static_cast<int>(integerAt(info, 4)), F_DUPFD_CLOEXEC, 0);
  int timeoutMs = static_cast<int>(integerAt(info, 5));
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), id, [=, &completions] {
    Descriptor held(fd);
    int64_t answer = held.fd < 0 ? -EBADF : offerRegion(name, offer, held.fd, timeoutMs);
    Completion done;
    done.id = id;
    done.result = [answer](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(answer)); };
    completions.push(std::move(done));
  });
}

/** The memory of a server, as one client sees it. */
class HostedLentMemory : public Napi::ObjectWrap<HostedLentMemory> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "LentMemory",
                       {InstanceMethod("map", &HostedLentMemory::map), InstanceMethod("close", &HostedLentMemory::close)});
  }
  explicit HostedLentMemory(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    auto* given = info[0].As<Napi::External<std::shared_ptr<LentMemory>>>().Data();
    memory_ = *given;
  }

 private:
  // (offset, bytes, whether it may be written) → ArrayBuffer of whole pages, and where in it the bytes begin. It is unmapped when it is
  // detached or collected.
  Napi::Value map(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (!memory_) throw Napi::Error::New(env, "the memory of the server is closed");
    auto range = memory_->map(integerAt(info, 0), integerAt(info, 1), info[2].As<Napi::Boolean>().Value());
    if (!range) throw Completions::error(env, errno, "memory of the server cannot be mapped");
    auto* held = new std::shared_ptr<LentRange>(range);
    Napi::Array result = Napi::Array::New(env, 2);
    result[0u] = Napi::ArrayBuffer::New(
        env, range->pages(), range->pageBytes(),
        [](Napi::Env, void*, std::shared_ptr<LentRange>* holder) { delete holder; }, held);
    result[1u] = static_cast<double>(range->start());
    return result;
  }

  /** What is mapped stays so; the server takes back what it has lent when the last of it is unmapped. */
  void close(const Napi::CallbackInfo&) { memory_.reset(); }

  std::shared_ptr<LentMemory> memory_;
};

struct LentMemoryClass {
  Napi::FunctionReference constructor;
};

// (id, socket name, token, time-out in ms); completes with a LentMemory, or a negative errno value.
void borrowMemoryOfServer(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  std::string name = stringAt(info, 1);
  auto token = tokenAt(info, 2);
  int timeoutMs = static_cast<int>(integerAt(info, 3));
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), id, [=, &completions] {
    int socket = -1;
    int fd = -1;
    ServerMemory memory = askForMemory(name, token, timeoutMs, socket, fd);
    std::shared_ptr<LentMemory> lent;
    if (memory.bytes > 0) lent = std::make_shared<LentMemory>(socket, fd, memory);
    Completion done;
    done.id = id;
    done.result = [lent, answer = memory.bytes](Napi::Env env) -> Napi::Value {
      if (!lent) return Napi::Number::New(env, static_cast<double>(answer));
      std::shared_ptr<LentMemory> given = lent;
      auto external = Napi::External<std::shared_ptr<LentMemory>>::New(env, &given);
      return Environment::of(env).part<LentMemoryClass>().constructor.New({external});
    };
    completions.push(std::move(done));
  });
}

/** (ArrayBuffer): its memory is given back now, and it is empty. */
void detach(const Napi::CallbackInfo& info) { info[0].As<Napi::ArrayBuffer>().Detach(); }

}  // namespace

void initSharedMemory(Napi::Env env, Napi::Object exports) {
  exports["sharedCreate"] = Napi::Function::New(env, createSharedBuffer, "sharedCreate");
  exports["sharedOffer"] = Napi::Function::New(env, offerShared, "sharedOffer");
  auto& lent = Environment::of(env).part<LentMemoryClass>();
  lent.constructor = Napi::Persistent(HostedLentMemory::define(env));
  exports["sharedBorrow"] = Napi::Function::New(env, borrowMemoryOfServer, "sharedBorrow");
  exports["sharedDetach"] = Napi::Function::New(env, detach, "sharedDetach");
}

}  // namespace kafabric::binding
