// Threads that are ended by two at the same time.
#include <chrono>
#include <thread>

#include "store/write_behind.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

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
