// Threads that cannot be had, and those that are ended by two at the same time.
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <iterator>
#include <new>
#include <numeric>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "direct/region_server.h"
#include "net/net.h"
#include "store/descriptor.h"
#include "store/space_preparer.h"
#include "store/thread_pool.h"
#include "store/write_behind.h"
#include "test/mount_fixture.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr uid_t kNobody = 65'534;

/** What `body` returns in a process that can have no thread but its first. */
template <typename Body>
int withoutThreads([[maybe_unused]] Body body) {
#ifdef __SANITIZE_THREAD__
  return kNotMounted;  // a fork of a process with threads may have none
#else
  return inChild([&] {
    const rlimit one{1, 1};
    bool limited = ::setrlimit(RLIMIT_NPROC, &one) == 0 && (::geteuid() != 0 || ::setuid(kNobody) == 0);
    if (!limited || ::geteuid() == 0) return kNotMounted;
    try {
      std::thread([] {}).join();
      return kNotMounted;  // nobody keeps to the limit
    } catch (const std::system_error&) {
      return body();
    }
  });
#endif
}

/** Whether `make` throws what says that there is no thread. */
template <typename Make>
bool isRefused(Make make) {
  try {
    make();
    return false;
  } catch (const std::system_error& error) {
    return error.code().value() == EAGAIN;
  }
}

/** Binds a socket to a port of this machine, 0: to a free one; the port, or 0 when it is taken. */
uint16_t bindTo(const Descriptor& socket, uint16_t port) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  ::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

bool takesSignals() {
  sigset_t blocked;
  return ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked) == 0 && ::sigismember(&blocked, SIGTERM) == 0;
}

}  // namespace

TEST(threads_that_cannot_be_had_leave_a_process_that_takes_signals) {
  checkMounted(withoutThreads([] {
    try {
      ThreadPool pool(3);
      return 1;
    } catch (const std::system_error&) {
      return takesSignals() ? 0 : 2;
    }
  }));
}

TEST(threads_that_cannot_be_had_are_done_without_where_they_can_be) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  checkMounted(withoutThreads([&] {
    WriteBehind clock(std::chrono::hours(1));
    if (clock.add(file)) return 1;
    fixture.store.recycled().keepIn(fixture.directory, RecycledFiles::kMinBytes);
    SpacePreparer preparer(fixture.store.recycled());
    preparer.prepare(fixture.directory, RecycledFiles::kMinBytes, RecycledFiles::kMinBytes, true);
    return takesSignals() ? 0 : 2;
  }));
}

TEST(threads_of_the_clock_can_be_ended_by_two_at_the_same_time) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  for (int i = 0; i < 500; ++i) {
    WriteBehind clock(std::chrono::hours(1));
    CHECK(clock.add(file));
    std::thread other([&] { clock.stop(); });
    clock.stop();
    other.join();
    CHECK(!clock.add(file));
  }
}

TEST(a_network_without_threads_hears_nothing_more_of_the_arena) {
  checkMounted(withoutThreads([] {
    Arena arena(size_t{1} << 20);
    alignas(net::Net) static uint8_t place[sizeof(net::Net)];
    if (!isRefused([&] { new (place) net::Net({}, arena, [] {}); })) return 1;
    std::iota(std::begin(place), std::end(place), uint8_t{1});  // whoever goes on with it is lost
    std::vector<MemoryRef> all;
    while (MemoryRef memory = arena.allocate(64 << 10)) all.push_back(std::move(memory));
    all.clear();
    return 0;
  }));
}

TEST(a_listener_without_a_thread_leaves_its_port) {
  checkMounted(withoutThreads([] {
    net::Options options;
    net::Limits limits(options);
    net::Acceptor acceptor(options, limits, {[](net::Accepted) {}, [](uint32_t, const std::string&) {}});
    uint16_t port = bindTo(Descriptor(::socket(AF_INET, SOCK_STREAM, 0)), 0);
    if (!isRefused([&] { acceptor.listen("127.0.0.1", port); })) return 1;
    return bindTo(Descriptor(::socket(AF_INET, SOCK_STREAM, 0)), port) == port ? 0 : 2;
  }));
}

TEST(a_socket_for_memory_without_a_thread_leaves_its_name) {
  checkMounted(withoutThreads([] {
    std::string name = "kafabric-test-threads-" + std::to_string(::getpid());
    if (!isRefused([&] { direct::RegionServer(direct::listenAbstract(name), [] {}); })) return 1;
    return Descriptor(direct::listenAbstract(name)).fd >= 0 ? 0 : 2;
  }));
}
