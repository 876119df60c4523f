// What clients want at the Unix socket, and the memory of the server that they map.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#include "direct/lent_memory.h"
#include "direct/region.h"
#include "direct/region_server.h"
#include "store/descriptor.h"
#include "test/child_process.h"
#include "test/mount_fixture.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::direct;
using namespace kafabric::test;

namespace {

size_t openDescriptors() {
  size_t count = 0;
  DIR* all = opendir("/proc/self/fd");
  CHECK(all != nullptr);
  while (readdir(all)) ++count;
  closedir(all);
  return count;
}

/** Whether this process may read a byte. */
bool isReachable(const uint8_t* byte) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  bool reached = write(ends[1], byte, 1) == 1;
  CHECK(reached || errno == EFAULT);
  close(ends[0]);
  close(ends[1]);
  return reached;
}

/** A server whose requests a test takes one by one. */
class Served {
 public:
  explicit Served(bool trusts = true) : name("kafabric-test-" + std::to_string(getpid()) + "-" + std::to_string(++made())) {
    int listening = listenAbstract(name);
    CHECK(listening >= 0);
    server = std::make_unique<RegionServer>(listening, [this] {
      std::lock_guard lock(mutex_);
      ++signals_;
      changed_.notify_all();
    }, [trusts](uid_t) { return trusts; });
  }

  ~Served() { server.reset(); }  // before what its thread uses

  RegionServer::Request next() {
    std::unique_lock lock(mutex_);
    for (;;) {
      for (RegionServer::Request& request : server->take()) waiting_.push_back(request);
      if (!waiting_.empty()) {
        RegionServer::Request first = waiting_.front();
        waiting_.erase(waiting_.begin());
        return first;
      }
      CHECK(changed_.wait_for(lock, std::chrono::seconds(60), [this] { return signals_ > 0; }));
      signals_ = 0;
    }
  }

  const std::string name;
  std::unique_ptr<RegionServer> server;

 private:
  static int& made() {
    static int count = 0;
    return count;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  int signals_ = 0;
  std::vector<RegionServer::Request> waiting_;
};

int connectTo(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  CHECK(connect(fd, reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())) == 0);
  return fd;
}

/** An offer with so many descriptors. */
void sendOffer(int socket, int fd, size_t descriptors) {
  RegionOffer offer{{1}, 4096};
  iovec part{&offer, sizeof offer};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
  for (size_t i = 0; i < descriptors; ++i) std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof fd);
  CHECK(sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof offer));
}

}  // namespace

TEST(region_socket_closes_every_descriptor_that_is_one_too_many) {
  int shared = createShared(4096);
  for (size_t descriptors : {size_t{2}, size_t{3}, size_t{4}}) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    size_t before = openDescriptors();
    sendOffer(ends[0], shared, descriptors);
    RegionOffer offer;
    int fd = -1;
    CHECK_EQ(receiveOffer(ends[1], offer, fd), EPROTO);
    CHECK_EQ(fd, -1);
    CHECK_EQ(openDescriptors(), before);
    close(ends[0]);
    close(ends[1]);
  }
  close(shared);
}

TEST(region_server_takes_offers_on_a_thread_of_its_own) {
  Served served;
  int shared = createShared(4096);
  int64_t answer = 0;
  std::thread client([&] { answer = offerRegion(served.name, {{1, 2, 3}, 4096}, shared, 60'000); });
  RegionServer::Request request = served.next();
  CHECK(request.kind == RegionServer::Request::Kind::kOffer);
  CHECK_EQ(request.error, 0);
  CHECK_EQ(request.who.uid, getuid());
  CHECK_EQ(request.offer.size, 4096u);
  served.server->answer(request.peer, 42);
  client.join();
  CHECK_EQ(answer, 42);
  close(request.fd);
  close(shared);
}

TEST(region_server_receives_no_descriptor_of_who_is_not_trusted) {
  Served served(false);
  int shared = createShared(4096);
  size_t before = openDescriptors();
  int socket = connectTo(served.name);
  sendOffer(socket, shared, 1);
  RegionServer::Request request = served.next();
  CHECK(request.kind == RegionServer::Request::Kind::kOffer);
  CHECK_EQ(request.error, EACCES);
  CHECK_EQ(request.fd, -1);
  CHECK_EQ(request.offer.token[0], 1);
  CHECK_EQ(openDescriptors(), before + 2);  // both ends of the connection
  served.server->answer(request.peer, -EACCES);
  int64_t answer = 0;
  CHECK_EQ(recv(socket, &answer, sizeof answer, 0), static_cast<ssize_t>(sizeof answer));
  CHECK_EQ(answer, -EACCES);
  close(socket);
  close(shared);
}

TEST(region_server_turns_away_one_user_before_all_places_are_taken) {
  static_assert(RegionServer::kMaxPeersOfUser < RegionServer::kMaxPeers);
  Served served;
  int shared = createShared(4096);
  std::vector<int> waiting;
  for (size_t i = 0; i < RegionServer::kMaxPeersOfUser; ++i) {
    waiting.push_back(connectTo(served.name));
    sendOffer(waiting.back(), shared, 1);
  }
  CHECK_EQ(offerRegion(served.name, {{1}, 4096}, shared, 60'000), -EAGAIN);
  int socket = -1;
  int fd = -1;
  CHECK_EQ(askForMemory(served.name, {1}, 60'000, socket, fd).bytes, -EAGAIN);
  CHECK_EQ(served.server->stats().turnedAway, 2u);
  RegionServer::Request first = served.next();
  served.server->answer(first.peer, -EACCES);
  close(first.fd);
  // One place is free again.
  waiting.push_back(connectTo(served.name));
  sendOffer(waiting.back(), shared, 1);
  for (size_t i = 0; i < RegionServer::kMaxPeersOfUser; ++i) close(served.next().fd);
  for (int fd : waiting) close(fd);
  close(shared);
}

TEST(region_server_turns_away_who_asks_too_often) {
  Served served;
  uint64_t turnedAway = 0;
  // As fast as it can, which is more than the rate allows for long; whoever is turned away hears it.
  for (size_t i = 0; i < 100 * RegionServer::kBurst && turnedAway == 0; ++i) {
    int fd = connectTo(served.name);
    close(fd);
    turnedAway = served.server->stats().turnedAway;
  }
  CHECK(turnedAway > 0);
}

TEST(region_server_lends_memory_until_the_client_has_gone) {
  Served served;
  int file = memfd_create("server", MFD_CLOEXEC);
  CHECK(ftruncate(file, 16 * 4096) == 0);
  auto* own = static_cast<uint8_t*>(mmap(nullptr, 16 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  CHECK(own != MAP_FAILED);
  int socket = -1;
  int fd = -1;
  ServerMemory memory{};
  std::thread client([&] { memory = askForMemory(served.name, {9}, 60'000, socket, fd); });
  RegionServer::Request request = served.next();
  CHECK(request.kind == RegionServer::Request::Kind::kMap);
  CHECK_EQ(request.offer.token[0], 9);
  CHECK(served.server->answer(request.peer, {12 * 4096, 4 * 4096}, file));
  client.join();
  CHECK_EQ(memory.bytes, 12 * 4096);
  {
    auto lent = std::make_shared<LentMemory>(socket, fd, memory);
    auto written = lent->map(4096, 5000, true);
    CHECK(written != nullptr);
    std::memset(static_cast<uint8_t*>(written->pages()) + written->start(), 7, 5000);
    CHECK_EQ(own[5 * 4096], 7);
    auto seen = lent->map(4096 + 100, 10, false);
    CHECK_EQ(seen->start(), 100u);
    CHECK_EQ(static_cast<uint8_t*>(seen->pages())[100], 7);
    CHECK(lent->map(12 * 4096 - 9, 10, false) == nullptr);
    CHECK(lent->map(UINT64_MAX - 1, 10, false) == nullptr);
    CHECK(lent->map(0, 0, false) == nullptr);
    // The server may lend pages again before the client has let go of them.
    auto again = lent->map(2 * 4096, 4096, true);
    auto* pages = static_cast<uint8_t*>(written->pages());
    written.reset();
    CHECK(!isReachable(pages));
    static_cast<uint8_t*>(again->pages())[0] = 8;
    CHECK_EQ(own[6 * 4096], 8);
    again.reset();
    CHECK(!isReachable(pages + 4096));
    // What is mapped keeps it.
    lent.reset();
    CHECK_EQ(static_cast<uint8_t*>(seen->pages())[100], 7);
  }
  RegionServer::Request gone = served.next();
  CHECK(gone.kind == RegionServer::Request::Kind::kGone);
  CHECK_EQ(gone.peer, request.peer);
  CHECK(!served.server->answer(request.peer, {12 * 4096, 4 * 4096}, file));
  munmap(own, 16 * 4096);
  close(file);
}

TEST(lent_memory_for_which_there_was_no_room_can_be_mapped_later) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  throw LeftOut("a sanitizer ends a process that has no memory");
#endif
  int code = inChild([] {
    int file = memfd_create("server", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, 1 << 20) != 0) return 3;
    auto lent = std::make_shared<LentMemory>(-1, file, ServerMemory{int64_t{64} << 30, 0});
    rlimit before{};
    getrlimit(RLIMIT_DATA, &before);
    rlimit none{4096, before.rlim_max};
    setrlimit(RLIMIT_DATA, &none);
    try {
      lent->map(0, 1, true);
      return 1;
    } catch (const std::bad_alloc&) {
    }
    setrlimit(RLIMIT_DATA, &before);
    return lent->map(0, 1, true) ? 0 : 2;
  });
  CHECK_EQ(code, 0);
}

TEST(region_server_says_why_it_lends_nothing) {
  Served served;
  int socket = -1;
  int fd = -1;
  ServerMemory memory{};
  std::thread client([&] { memory = askForMemory(served.name, {9}, 60'000, socket, fd); });
  served.server->answer(served.next().peer, -EACCES);
  client.join();
  CHECK_EQ(memory.bytes, -EACCES);
  CHECK_EQ(socket, -1);
}

/** Offers memory to the server that it is told, and says what the answer was. */
CHILD(region_offer) {
  std::string name;
  CHECK(receiveMessage(control, name));
  Descriptor memory(createShared(4096));
  sendMessage(control, std::to_string(offerRegion(name, {{}, 4096}, memory.fd, 60'000)));
}

TEST(region_offers_outlast_a_stop_of_the_process) {
  Served served;
  Descriptor any(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ChildProcess child("region_offer", any.fd);
  CHECK(sendMessage(child.control(), served.name));
  RegionServer::Request request = served.next();
  Descriptor memory(request.fd);
  auto isAsleep = [&] {
    std::string word;
    std::ifstream file("/proc/" + std::to_string(child.pid()) + "/stat");
    return file >> word >> word >> word && word == "S";
  };
  WAIT_UNTIL(isAsleep());  // for the answer
  child.stop();
  child.signal(SIGCONT);
  served.server->answer(request.peer, 7);
  std::string answer;
  CHECK(receiveMessage(child.control(), answer));
  CHECK_EQ(answer, "7");
}
