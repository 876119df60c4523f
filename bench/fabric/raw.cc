// bench/fabric: bandwidth of the bulk engine beside that of the provider itself, between two processes on this machine. See README.md.
//
//   fabric-raw target <provider> <bytes>     publishes memory; talks over stdin and stdout
//   fabric-raw store <provider> <bytes> <seconds> <rounds> <piece bytes> <library>   starts the target and measures
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <iostream>
#include <string>
#include <vector>

#include "fabric/fabric_transport.h"
#include "fabric/tcp_transport.h"

using namespace kafabric;
using namespace kafabric::fabric;

namespace {

constexpr uint32_t kWindow = 8;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

void check(const IoStatus& status) {
  if (!status.ok()) fail(status.message);
}

uint8_t* touched(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("no memory");
  std::memset(memory, 1, bytes);
  return static_cast<uint8_t*>(memory);
}

struct Chosen {
  std::shared_ptr<const Library> library;
  std::shared_ptr<const Provider> provider;
};

Chosen choose(const std::string& name, const std::string& path) {
  auto opened = Library::open(path);
  if (!opened.library) fail(opened.error);
  for (const auto& provider : listProviders(opened.library).providers) {
    if (provider->name == name && (provider->domain == "lo" || name == kSharedMemoryProvider)) return {opened.library, provider};
  }
  std::exit(77);
}

std::unique_ptr<Transport> openTransport(const std::string& name, const std::string& path, const BulkLimits& limits) {
  IoStatus status;
  std::unique_ptr<Transport> transport;
  if (name == kTcpTransportName) {
    transport = TcpTransport::open({true, "127.0.0.1", 0, "127.0.0.1"}, limits, status);
  } else {
    Chosen chosen = choose(name, path);
    transport = FabricTransport::open(chosen.library, chosen.provider, limits, status);
  }
  check(status);
  return transport;
}

template <typename Start>
void waitFor(Start start) {
  std::promise<IoStatus> promise;
  start([&](const IoStatus& status) { promise.set_value(status); });
  check(promise.get_future().get());
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (unsigned char byte : bytes) {
    char two[3];
    std::snprintf(two, sizeof(two), "%02x", byte);
    text += two;
  }
  return text;
}

std::string unhex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

double cpuSeconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/** Answers each line "offer" with "address base key", until the end of its input. */
int runTarget(const std::string& name, const std::string& path, size_t bytes) {
  auto transport = openTransport(name, path, {});
  uint8_t* memory = touched(bytes);
  Published published;
  waitFor([&](auto done) {
    transport->publish(memory, bytes, kPeerReads | kPeerWrites, nullptr, [&, done](const IoStatus& status, const Published& what) {
      published = what;
      done(status);
    });
  });
  std::string offer;
  while (std::getline(std::cin, offer)) {
    waitFor([&](auto done) {
      transport->answer(unhex(offer), [&, done](const IoStatus& status, const std::string& address) {
        std::cout << hex(address) << " " << published.address << " " << published.key << std::endl;
        done(status);
      });
    });
  }
  transport->stop();
  return 0;
}

class TargetProcess {
 public:
  TargetProcess(const std::string& name, const std::string& path, size_t bytes) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) fail("pipe");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      for (int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      execl("/proc/self/exe", "fabric-raw", "target", name.c_str(), std::to_string(bytes).c_str(), path.c_str(), nullptr);
      _exit(1);
    }
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    output_ = fdopen(out[0], "r");
  }
  ~TargetProcess() {
    ::close(input_);
    fclose(output_);
    waitpid(pid_, nullptr, 0);
  }
  std::string attach(const std::string& offer, Published& published) {
    std::string line = hex(offer) + "\n";
    if (write(input_, line.data(), line.size()) < 0) fail("the target has ended");
    char address[8192];
    unsigned long long base = 0, key = 0;
    if (fscanf(output_, "%8191s %llu %llu", address, &base, &key) != 3) fail("the target has ended");
    published.address = base;
    published.key = key;
    return unhex(address);
  }

 private:
  pid_t pid_;
  int input_;
  FILE* output_;
};

struct Measured {
  double gigabytesPerSecond;
  double cpuPerGigabyte;  // of this process
};

struct Load {
  size_t bytes;
  double seconds;
  uint64_t piece;
  Direction direction;
};

/** The provider alone, or TCP: a loop that does nothing else. */
class RawLoop {
 public:
  RawLoop(std::shared_ptr<BareLoop> loop, TargetProcess& target, uint8_t* memory) : loop_(std::move(loop)), memory_(memory) {
    std::string offer;
    check(loop_->open(offer));
    check(loop_->connect(target.attach(offer, published_)));
  }

  Measured measure(const Load& load) {
    double cpu = cpuSeconds(RUSAGE_SELF);
    BareLoad bare;
    bare.direction = load.direction;
    bare.range = {memory_, load.bytes, published_.address, published_.key};
    bare.pieceBytes = load.piece;
    bare.window = kWindow;
    bare.time = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.seconds));
    BareResult result;
    check(loop_->run(bare, result));
    double gigabytes = static_cast<double>(result.bytes) / 1e9;
    return {gigabytes / std::chrono::duration<double>(result.took).count(), (cpuSeconds(RUSAGE_SELF) - cpu) / gigabytes};
  }

 private:
  std::shared_ptr<BareLoop> loop_;
  uint8_t* memory_;
  Published published_;
};

/** The same through the engine: requests of all the memory, two under way. */
class EngineLoop {
 public:
  EngineLoop(std::unique_ptr<Transport> transport, TargetProcess& target, uint8_t* memory, size_t bytes)
      : transport_(std::move(transport)), memory_(memory) {
    waitFor([&](auto done) { transport_->registerMemory(memory, bytes, nullptr, done); });
    std::string address = target.attach(transport_->offer(), published_);
    waitFor([&](auto done) { peer_ = transport_->addPeer(address, done); });
  }
  ~EngineLoop() { transport_->stop(); }

  std::shared_ptr<BareLoop> bareLoop() { return transport_->bareLoop(); }

  Measured measure(const Load& load) {
    auto began = Clock::now();
    auto end = began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.seconds));
    double cpu = cpuSeconds(RUSAGE_SELF);
    uint64_t moved = 0;
    std::future<IoStatus> pending[2];
    auto start = [&](std::future<IoStatus>& one) {
      auto promise = std::make_shared<std::promise<IoStatus>>();
      one = promise->get_future();
      BulkRequest request;
      request.peer = peer_;
      request.direction = load.direction;
      request.ranges.push_back({memory_, load.bytes, published_.address, published_.key});
      request.deadline = Clock::now() + std::chrono::seconds(60);
      request.done = [promise](const IoStatus& status) { promise->set_value(status); };
      transport_->submit(std::move(request));
    };
    for (auto& one : pending) start(one);
    for (size_t i = 0; Clock::now() < end; ++i) {
      check(pending[i % 2].get());
      moved += load.bytes;
      start(pending[i % 2]);
    }
    for (auto& one : pending) {
      check(one.get());
      moved += load.bytes;
    }
    double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    return {static_cast<double>(moved) / seconds / 1e9, (cpuSeconds(RUSAGE_SELF) - cpu) / (static_cast<double>(moved) / 1e9)};
  }

 private:
  std::unique_ptr<Transport> transport_;
  uint8_t* memory_;
  Published published_;
  PeerId peer_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) fail("usage: fabric-raw target|store <provider> <bytes> ...");
  std::string name = argv[2];
  size_t bytes = std::stoull(argv[3]);
  if (std::strcmp(argv[1], "target") == 0) return runTarget(name, argc > 4 ? argv[4] : "", bytes);
  if (argc < 7) fail("usage: fabric-raw store <provider> <bytes> <seconds> <rounds> <piece bytes> [library]");
  double seconds = std::stod(argv[4]);
  int rounds = std::stoi(argv[5]);
  BulkLimits limits;
  limits.window = kWindow;
  limits.pieceBytes = std::stoull(argv[6]);
  std::string path = argc > 7 ? argv[7] : "";
  uint8_t* memory = touched(bytes);
  TargetProcess target(name, path, bytes);
  EngineLoop engine(openTransport(name, path, limits), target, memory, bytes);
  RawLoop raw(engine.bareLoop(), target, memory);
  for (int round = 0; round <= rounds; ++round) {
    for (Direction direction : {Direction::kRead, Direction::kWrite}) {
      Load load{bytes, seconds, limits.pieceBytes, direction};
      // By turns which comes first; the first round only warms up.
      Measured one[2] = {};
      for (int turn = 0; turn < 2; ++turn) {
        int which = (turn + round) % 2;
        if (which == 0) one[0] = engine.measure(load);
        else one[1] = raw.measure(load);
      }
      if (round == 0) continue;
      std::printf("%s %.3f %.3f %.3f %.3f\n", direction == Direction::kRead ? "read" : "write", one[0].gigabytesPerSecond,
                  one[0].cpuPerGigabyte, one[1].gigabytesPerSecond, one[1].cpuPerGigabyte);
      std::fflush(stdout);
    }
  }
}
