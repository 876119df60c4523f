// A store in the test's process and targets in processes of their own, over any provider that is here.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "fabric/providers.h"
#include "fabric/transport.h"
#include "test/child_process.h"
#include "test/test.h"

namespace kafabric::test {

/** The providers that can be tried; those that are not here are left out, as verbs is without a card (npm run test:verbs has one). */
constexpr const char* kTestedProviders[] = {"verbs;ofi_rxm", "tcp;ofi_rxm", "tcp", "shm", "sockets", "plain-tcp", "tls-tcp"};

/** Whether the hardware answers for a process that does not run. */
inline bool movesWithoutTarget(const std::string& provider) { return provider == "verbs;ofi_rxm"; }

/** A transport of this provider on the loopback interface; throws LeftOut when the library does not have it. */
std::unique_ptr<fabric::Transport> openTransport(const std::string& provider, const fabric::BulkLimits& limits = {});

/** One of libfabric's providers on the loopback interface, or shm; throws LeftOut when the library does not have it. */
struct ProviderHere {
  std::shared_ptr<const fabric::Library> library;
  std::shared_ptr<const fabric::Provider> provider;
};
ProviderHere providerHere(const std::string& name);

/** One that may be made to differ. */
std::shared_ptr<fabric::Provider> copyOf(const ProviderHere& here);

/** Waits for the end of what `start` begins, which gets the callback. */
IoStatus waitFor(const std::function<void(fabric::Transport::Done)>& start);

/** Throws LeftOut where the provider cannot stand peers that stop or die. */
void needFaultTolerance(const std::string& provider);

/** One test for each provider, with its name behind that of the test. */
struct ProviderTests {
  ProviderTests(const std::string& name, void (*body)(const std::string& provider)) {
    for (const char* provider : kTestedProviders) cases().push_back({name + "_over_" + provider, [=] { body(provider); }});
  }
};

#define PROVIDER_TEST(name)                                                                    \
  static void test_##name(const std::string& provider);                                        \
  static const ::kafabric::test::ProviderTests registration_##name(#name, test_##name);        \
  static void test_##name(const std::string& provider)

/** Memory that two processes see, as a file without a name. */
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes);
  /** The child's view of its parent's. */
  SharedMemory(int fd, size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  int fd() const { return fd_; }
  uint8_t* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  void map();

  int fd_;
  size_t bytes_;
  uint8_t* data_ = nullptr;
};

/** Fills with what depends on the place and the seed. */
void fillPattern(uint8_t* data, size_t bytes, uint64_t seed);
void fillZero(uint8_t* data, size_t bytes);
/** Whether all of it is the pattern, as of `offset`. */
bool isPattern(const uint8_t* data, size_t bytes, uint64_t seed, size_t offset = 0);

/** How many descriptors this process has open. */
size_t openDescriptors();

/** A process that has published all of `memory`, for reads and writes. */
class Target {
 public:
  Target(fabric::Transport& store, size_t bytes);
  ~Target();
  /** It opens a transport anew, and publishes again. */
  void attachAgain(fabric::Transport& store);
  /** Its transport's answer to another offer. */
  std::string answer(const std::string& offer);
  /** "descriptors": how many it has open. */
  std::string ask(const std::string& question);

  SharedMemory memory;
  ChildProcess process;
  fabric::Published published;
  fabric::PeerId peer = 0;

  fabric::Range range(uint8_t* local, uint64_t length, uint64_t offset) const {
    return {local, length, published.address + offset, published.key};
  }

 private:
  pid_t pid_;
};

/** The store's side: a transport with registered memory. */
struct Store {
  std::unique_ptr<fabric::Transport> transport;
  SharedMemory memory;

  Store(const std::string& provider, size_t bytes, const fabric::BulkLimits& limits = {});
  ~Store() { transport->stop(); }

  /** A request under way. */
  struct Pending {
    fabric::RequestId id;
    std::future<IoStatus> done;
  };
  Pending start(fabric::Direction direction, fabric::PeerId peer, std::vector<fabric::Range> ranges,
                std::chrono::milliseconds time = std::chrono::seconds(30));
  IoStatus transfer(fabric::Direction direction, fabric::PeerId peer, std::vector<fabric::Range> ranges,
                    std::chrono::milliseconds time = std::chrono::seconds(30)) {
    return start(direction, peer, std::move(ranges), time).done.get();
  }
};

}  // namespace kafabric::test
