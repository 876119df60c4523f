// What a turn of JavaScript's thread posts is begun when its answers are sent, or at its end.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "store/thread_pool.h"
#include "test/test.h"

using namespace kafabric;

namespace {

constexpr std::chrono::milliseconds kLong{50};

/** Until all of the pool's threads wait for tasks. */
void settle(ThreadPool& pool) {
  std::atomic<bool> ran{false};
  pool.post([&] { ran = true; });
  while (!ran) std::this_thread::yield();
  std::this_thread::sleep_for(kLong);
}

void awaitCount(const std::atomic<int>& count, int wanted) {
  while (count < wanted) std::this_thread::yield();
}

}  // namespace

TEST(late_wakeups_keep_tasks_until_they_are_told_or_end) {
  ThreadPool pool(2);
  settle(pool);
  std::atomic<int> ran{0};
  {
    LateWakeups late;
    pool.post([&] { ++ran; });
    std::this_thread::sleep_for(kLong);
    CHECK_EQ(ran.load(), 0);
    LateWakeups::wake();
    awaitCount(ran, 1);
    std::this_thread::sleep_for(kLong);
    pool.post([&] { ++ran; });
  }
  awaitCount(ran, 2);
  pool.post([&] { ++ran; });
  awaitCount(ran, 3);
}

TEST(late_wakeups_are_of_their_thread_alone) {
  ThreadPool pool(1);
  settle(pool);
  LateWakeups late;
  std::atomic<int> ran{0};
  std::thread([&] {
    pool.post([&] { ++ran; });
    LateWakeups::wake();
  }).join();
  awaitCount(ran, 1);
}

TEST(late_wakeups_keep_no_more_than_a_few) {
  ThreadPool pool(1);
  settle(pool);
  LateWakeups late;
  std::atomic<int> ran{0};
  constexpr int kMany = 100;
  for (int i = 0; i < kMany; ++i) pool.post([&] { ++ran; });
  awaitCount(ran, kMany);
}

TEST(late_wakeups_may_outlive_the_pool) {
  LateWakeups late;
  std::atomic<int> ran{0};
  auto pool = std::make_unique<ThreadPool>(1);
  pool->post([&] { ++ran; });
  pool.reset();
  CHECK_EQ(ran.load(), 1);
}
