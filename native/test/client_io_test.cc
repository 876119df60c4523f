// Who copies waits for a pause of what is under way for clients, and not for ever.
#include "store/client_io.h"

#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <thread>

#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr std::chrono::microseconds kForEver = std::chrono::hours(1);

}  // namespace

TEST(client_io_is_waited_for_on_both_devices) {
  for (int round = 0; round < 200; ++round) {
    ClientIo io;
    dev_t device = round % 2 == 0 ? 1 : 2;
    auto scope = std::make_unique<ClientIo::Scope>(io, device);
    std::atomic<bool> looks{false};
    std::atomic<bool> ended{false};
    std::atomic<bool> early{false};
    std::thread copier([&] {
      looks = true;
      io.awaitPause(1, 2, kForEver);
      early = !ended;
    });
    while (!looks) std::this_thread::yield();
    for (int i = 0; i < 50; ++i) std::this_thread::yield();
    ended = true;
    scope.reset();
    copier.join();
    CHECK(!early);
  }
}

TEST(client_io_on_other_devices_is_not_waited_for) {
  ClientIo io;
  ClientIo::Scope elsewhere(io, 3);
  io.awaitPause(1, 2, kForEver);
}

TEST(client_io_that_leaves_no_pause_is_not_waited_for_for_ever) {
  ClientIo io;
  ClientIo::Scope scope(io, 1);
  io.awaitPause(1, 1, std::chrono::milliseconds(1));
}

TEST(client_io_of_many_threads_lets_every_copier_through) {
  ClientIo io;
  std::atomic<bool> stop{false};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      while (!stop) {
        ClientIo::Scope scope(io, 1);
        std::this_thread::yield();
      }
    });
  }
  std::vector<std::thread> copiers;
  for (int i = 0; i < 2; ++i) {
    copiers.emplace_back([&] {
      for (int piece = 0; piece < 20; ++piece) io.awaitPause(1, 1, std::chrono::milliseconds(5));
    });
  }
  for (std::thread& copier : copiers) copier.join();
  stop = true;
  for (std::thread& client : clients) client.join();
  // Nothing is left counted.
  io.awaitPause(1, 1, kForEver);
}

TEST(client_io_without_a_pause_holds_no_copy_back_for_ever) {
  StoreFixture fixture(true);
  std::string content((size_t{3} << 20) + 5000, 'x');
  std::ofstream(fixture.path("from"), std::ios::binary) << content;
  struct stat info {};
  CHECK_EQ(::stat(fixture.path("from").c_str(), &info), 0);
  ClientIo::Scope scope(fixture.store.clientIo(), info.st_dev);
  uint64_t copied = 0;
  CHECK(fixture.store.copy(fixture.path("from"), fixture.path("to"), 0, content.size(), copied).ok());
  CHECK_EQ(copied, content.size());
  std::ifstream in(fixture.path("to"), std::ios::binary);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == content);
}

TEST(client_io_of_files_ends_with_what_was_asked_for) {
  StoreFixture fixture(true);
  auto file = fixture.open();
  std::string content(100'000, 'y');
  std::promise<IoStatus> appended;
  file->append({{reinterpret_cast<const uint8_t*>(content.data()), content.size(), {}}}, {},
               [&](const IoStatus& status) { appended.set_value(status); });
  CHECK(appended.get_future().get().ok());
  std::promise<IoStatus> flushed;
  file->sync([&](const IoStatus& status) { flushed.set_value(status); });
  CHECK(flushed.get_future().get().ok());
  fixture.store.stop();
  dev_t device = file->handle()->device();
  fixture.store.clientIo().awaitPause(device, device, kForEver);
}
