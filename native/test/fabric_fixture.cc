#include "test/fabric_fixture.h"

#include <dirent.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "fabric/fabric_transport.h"
#include "fabric/tcp_transport.h"

using namespace kafabric;
using namespace kafabric::fabric;

namespace kafabric::test {

namespace {

struct Loaded {
  Library::Opened opened;
  ProviderList list;
};

const Loaded& loaded() {
  static const Loaded instance = [] {
    const char* configured = std::getenv("KAFABRIC_FABRIC_LIBRARY");
    Loaded all;
    all.opened = Library::open(configured ? configured : "");
    if (all.opened.library) all.list = listProviders(all.opened.library);
    return all;
  }();
  return instance;
}

std::shared_ptr<const Provider> findProvider(const std::string& name) {
  const Loaded& all = loaded();
  // Seen on a busy machine: transfers that never end, a crash within fi_close after cancellations, unordered memory.
  if (name == "sockets" && !::getenv("KAFABRIC_TEST_SOCKETS"))
    throw LeftOut("libfabric's sockets has faults of its own, and is never chosen unasked: KAFABRIC_TEST_SOCKETS=1 runs it");
  if (!all.opened.library) throw Skipped(all.opened.error);
  std::shared_ptr<const Provider> found;
  for (const auto& provider : all.list.providers) {
    if (provider->name != name) continue;
    if (!found || provider->network == "127.0.0.1/32" || provider->network == "127.0.0.0/8") found = provider;
  }
  if (!found) throw LeftOut("provider " + name + " is not in " + all.opened.library->path());
  return found;
}

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  return value ^ (value >> 27);
}

uint8_t patternAt(uint64_t seed, size_t at) { return static_cast<uint8_t>(mix(seed * 0x9e3779b97f4a7c15 + at / 8) >> (8 * (at % 8))); }

/** What a target is told, and what it tells. */
std::string pack(const std::vector<std::string>& fields) {
  std::string all;
  for (const auto& field : fields) all += std::to_string(field.size()) + ":" + field;
  return all;
}

std::vector<std::string> unpack(const std::string& all) {
  std::vector<std::string> fields;
  for (size_t at = 0; at < all.size();) {
    size_t colon = all.find(':', at);
    size_t length = std::stoull(all.substr(at, colon - at));
    fields.push_back(all.substr(colon + 1, length));
    at = colon + 1 + length;
  }
  return fields;
}

}  // namespace

IoStatus waitFor(const std::function<void(Transport::Done)>& start) {
  auto promise = std::make_shared<std::promise<IoStatus>>();
  start([promise](const IoStatus& status) { promise->set_value(status); });
  return promise->get_future().get();
}

ProviderHere providerHere(const std::string& name) {
  auto provider = findProvider(name);
  return {loaded().opened.library, provider};
}

std::shared_ptr<Provider> copyOf(const ProviderHere& here) {
  auto provider = std::make_shared<Provider>();
  provider->name = here.provider->name;
  provider->domain = here.provider->domain;
  provider->maxMessageBytes = here.provider->maxMessageBytes;
  provider->memoryModes = here.provider->memoryModes;
  provider->endsWritesEarly = here.provider->endsWritesEarly;
  provider->info = Info(here.library, here.library->duplicate(here.provider->info.get()));
  return provider;
}

std::unique_ptr<Transport> openTransport(const std::string& provider, const BulkLimits& limits) {
  IoStatus status;
  if (provider == kTcpTransportName || provider == kTlsTransportName) {
    TcpOptions options;
    options.encrypted = provider == kTlsTransportName;
    options.host = options.advertised = "127.0.0.1";
    auto transport = TcpTransport::open(options, limits, status);
    CHECK_EQ(status.message, "");
    return transport;
  }
  auto found = findProvider(provider);
  auto transport = FabricTransport::open(loaded().opened.library, found, limits, status);
  CHECK_EQ(status.message, "");
  return transport;
}

void needFaultTolerance(const std::string& provider) {
  if (provider == kTcpTransportName || provider == kTlsTransportName) return;
  findProvider(provider);
  std::string reason = reasonAgainst(*loaded().opened.library, provider);
  if (!reason.empty()) throw LeftOut(reason);
}

SharedMemory::SharedMemory(size_t bytes) : fd_(::memfd_create("test", MFD_CLOEXEC)), bytes_(bytes) {
  CHECK(fd_ >= 0);
  CHECK_EQ(::ftruncate(fd_, static_cast<off_t>(bytes)), 0);
  map();
}

SharedMemory::SharedMemory(int fd, size_t bytes) : fd_(fd), bytes_(bytes) { map(); }

void SharedMemory::map() {
  void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  CHECK(memory != MAP_FAILED);
  data_ = static_cast<uint8_t*>(memory);
}

SharedMemory::~SharedMemory() {
  ::munmap(data_, bytes_);
  ::close(fd_);
}

#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_ignore_thread_begin();
extern "C" void __tsan_ignore_thread_end();
#endif

namespace {

/**
 * Accesses of memory that a provider's own threads have moved bytes to: libfabric orders them in a way that the sanitizer
 * does not see, and its suppressions need the other thread's stack, which may be gone.
 */
struct UncheckedAccesses {
#ifdef __SANITIZE_THREAD__
  UncheckedAccesses() { __tsan_ignore_thread_begin(); }
  ~UncheckedAccesses() { __tsan_ignore_thread_end(); }
#else
  UncheckedAccesses() {}
#endif
};

}  // namespace

void fillPattern(uint8_t* data, size_t bytes, uint64_t seed) {
  UncheckedAccesses unchecked;
  for (size_t i = 0; i < bytes; ++i) data[i] = patternAt(seed, i);
}

void fillZero(uint8_t* data, size_t bytes) {
  UncheckedAccesses unchecked;
  std::fill_n(data, bytes, uint8_t{0});
}

size_t openDescriptors() {
  size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory)) ++count;
  ::closedir(directory);
  return count;
}

bool isPattern(const uint8_t* data, size_t bytes, uint64_t seed, size_t offset) {
  UncheckedAccesses unchecked;
  for (size_t i = 0; i < bytes; ++i) {
    if (data[i] != patternAt(seed, offset + i)) return false;
  }
  return true;
}

Target::~Target() {
  if (process.pid() > 0) process.kill();
  // What shm leaves of a killed process.
  std::string own = std::to_string(pid_) + ":";
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().compare(0, own.size(), own) == 0) std::filesystem::remove(entry.path());
  }
}

Target::Target(Transport& store, size_t bytes) : memory(bytes), process("fabric_target", memory.fd()), pid_(process.pid()) {
  attachAgain(store);
}

void Target::attachAgain(Transport& store) {
  auto fields = unpack(ask(pack({store.name().provider, std::to_string(memory.size()), store.offer()})));
  CHECK_EQ(fields.size(), 3u);
  published.address = std::stoull(fields[1]);
  published.key = std::stoull(fields[2]);
  IoStatus status = waitFor([&](Transport::Done done) { peer = store.addPeer(fields[0], done); });
  CHECK_EQ(status.message, "");
}

std::string Target::answer(const std::string& offer) { return ask(pack({offer})); }

std::string Target::ask(const std::string& question) {
  std::string answer;
  CHECK(sendMessage(process.control(), question));
  CHECK(receiveMessage(process.control(), answer));
  return answer;
}

Store::Store(const std::string& provider, size_t bytes, const BulkLimits& limits)
    : transport(openTransport(provider, limits)), memory(bytes) {
  IoStatus status = waitFor([&](Transport::Done done) { transport->registerMemory(memory.data(), bytes, nullptr, done); });
  CHECK_EQ(status.message, "");
}

Store::Pending Store::start(Direction direction, PeerId peer, std::vector<Range> ranges, std::chrono::milliseconds time) {
  auto promise = std::make_shared<std::promise<IoStatus>>();
  BulkRequest request;
  request.peer = peer;
  request.direction = direction;
  request.ranges = std::move(ranges);
  request.deadline = Clock::now() + time;
  request.done = [promise](const IoStatus& status) { promise->set_value(status); };
  return {transport->submit(std::move(request)), promise->get_future()};
}

namespace {

std::string answerTo(Transport& transport, const std::string& offer) {
  std::string address;
  IoStatus status = waitFor([&](Transport::Done done) {
    transport.answer(offer, [&, done](const IoStatus& status, const std::string& text) {
      address = text;
      done(status);
    });
  });
  CHECK_EQ(status.message, "");
  return address;
}

/** The target's side of an attachment; what it answers. */
std::string attach(Transport& transport, SharedMemory& memory, const std::string& offer) {
  Published published;
  IoStatus status = waitFor([&](Transport::Done done) {
    transport.publish(memory.data(), memory.size(), kPeerReads | kPeerWrites, nullptr, [&, done](const IoStatus& status, const Published& what) {
      published = what;
      done(status);
    });
  });
  CHECK_EQ(status.message, "");
  return pack({answerTo(transport, offer), std::to_string(published.address), std::to_string(published.key)});
}

}  // namespace

CHILD(fabric_target) {
  std::string message;
  std::unique_ptr<SharedMemory> memory;
  std::unique_ptr<Transport> transport;
  while (receiveMessage(control, message)) {
    if (message == "descriptors") {
      CHECK(sendMessage(control, std::to_string(openDescriptors())));
      continue;
    }
    auto fields = unpack(message);
    if (fields.size() == 1) {
      CHECK(sendMessage(control, answerTo(*transport, fields[0])));
      continue;
    }
    transport.reset();
    transport = openTransport(fields.at(0));
    if (!memory) memory = std::make_unique<SharedMemory>(kChildShared, std::stoull(fields.at(1)));
    CHECK(sendMessage(control, attach(*transport, *memory, fields.at(2))));
  }
}

}  // namespace kafabric::test
