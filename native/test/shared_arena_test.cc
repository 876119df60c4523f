#include <fcntl.h>
#include <signal.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "arena/arena.h"
#include "arena/mapping.h"
#include "test/faults.h"
#include "test/mount_fixture.h"
#include "test/test.h"

using kafabric::Arena;
using kafabric::MemoryRef;
using kafabric::SharedFile;
using kafabric::SharedPlace;
using kafabric::sharedFilesOf;
using kafabric::test::faults;
using kafabric::test::FaultScope;
using kafabric::test::checkMounted;
using kafabric::test::inChild;
using kafabric::test::inMount;

namespace {

SharedPlace placeFor(const char* test) { return {std::string("test-") + test + "-" + std::to_string(::getpid())}; }

bool isLocked(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  bool locked = ::flock(fd, LOCK_SH | LOCK_NB) != 0;
  ::close(fd);
  return locked;
}

}  // namespace

TEST(shared_arena_whose_file_was_removed_takes_no_entries) {
  Arena arena(4 << 20, placeFor("removed"));
  SharedFile& file = *arena.sharedFile();
  CHECK(file.beginEntry());
  CHECK(!file.isRemoved());
  CHECK_EQ(::unlink(file.path().c_str()), 0);
  CHECK(file.isRemoved());
  CHECK(!file.beginEntry());
  CHECK_EQ(file.pending(), 1u);
  file.endEntry();
  CHECK_EQ(file.pending(), 0u);
}

TEST(shared_arena_is_made_also_while_signals_come) {
  FaultScope scope;
  faults.allocateInterruptions = 2;
  Arena arena(4 << 20, placeFor("signals"));
  CHECK_EQ(arena.sharedReason(), "");
  CHECK(arena.shared());
}

TEST(shared_arena_is_a_locked_private_file_while_it_lives) {
  SharedPlace place = placeFor("lives");
  {
    Arena arena(4 << 20, place);
    CHECK_EQ(arena.sharedReason(), "");
    CHECK(arena.shared());
    auto paths = sharedFilesOf(place);
    CHECK_EQ(paths.size(), 1u);
    CHECK_EQ(paths[0], arena.sharedFile()->path());
    struct stat status;
    CHECK_EQ(::stat(paths[0].c_str(), &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0600u);
    CHECK_EQ(static_cast<size_t>(status.st_size), SharedFile::kDataOffset + arena.capacity());
    CHECK(isLocked(paths[0]));
    MemoryRef memory = arena.allocate(5);
    std::memcpy(memory.data(), "hello", 5);
    char read[5];
    int fd = ::open(paths[0].c_str(), O_RDONLY | O_CLOEXEC);
    auto position = static_cast<off_t>(SharedFile::kDataOffset + memory.offset());
    CHECK_EQ(::pread(fd, read, sizeof(read), position), 5);
    ::close(fd);
    CHECK_EQ(std::string(read, 5), "hello");
  }
  CHECK_EQ(sharedFilesOf(place).size(), 0u);
}

TEST(shared_arena_is_left_behind_by_a_kill_and_unlocked) {
  SharedPlace place = placeFor("kill");
  int code = inChild([&] {
    Arena arena(4 << 20, place);
    return arena.shared() ? ::raise(SIGKILL) : 1;
  });
  CHECK_EQ(code, 128 + SIGKILL);
  auto paths = sharedFilesOf(place);
  CHECK_EQ(paths.size(), 1u);
  CHECK(!isLocked(paths[0]));
  ::unlink(paths[0].c_str());
}

TEST(shared_arena_stays_while_entries_are_pending) {
  SharedPlace place = placeFor("pending");
  Arena arena(4 << 20, place);
  CHECK(arena.sharedFile()->beginEntry());
  CHECK(!arena.releaseShared());
  CHECK(arena.shared());
  CHECK_EQ(sharedFilesOf(place).size(), 1u);
  arena.sharedFile()->endEntry();
  CHECK(arena.releaseShared());
  CHECK(arena.releaseShared());
  CHECK(!arena.shared());
  CHECK(!arena.sharedFile()->beginEntry());
  CHECK_EQ(arena.sharedFile()->pending(), 0u);
  CHECK_EQ(sharedFilesOf(place).size(), 0u);
  std::memset(arena.allocate(1 << 20).data(), 1, 1 << 20);
}

TEST(shared_arena_says_why_it_is_not_shared) {
  auto reason = [](size_t bytes, const SharedPlace& place) {
    Arena arena(bytes, place);
    CHECK(!arena.shared());
    CHECK(arena.allocate(1));
    CHECK(arena.releaseShared());
    return arena.sharedReason();
  };
  CHECK_EQ(reason(1 << 20, {}), "");
  CHECK_EQ(reason(1 << 20, {"a/b"}), "\"a/b\" is no name for shared memory");
  CHECK_EQ(reason(1 << 20, {"name", "/proc"}), "/proc is neither a tmpfs nor a hugetlbfs");
  CHECK(reason(1 << 20, {"name", "/nowhere"}).find("cannot use /nowhere: ") == 0);
  // No larger than needed: sanitizers leave little address space.
  size_t large = std::filesystem::space("/dev/shm").capacity + (size_t{1} << 30);
  std::string tooLarge = reason(large, placeFor("large"));
  CHECK(tooLarge.find("/dev/shm has ") == 0 && tooLarge.find(" MiB are needed") != std::string::npos);
  FaultScope scope;
  faults.allocateError = ENOSPC;
  CHECK_EQ(reason(1 << 20, placeFor("full")), "cannot reserve shared memory in /dev/shm: No space left on device");
  CHECK_EQ(sharedFilesOf(placeFor("full")).size(), 0u);
}

TEST(shared_arena_hands_out_only_what_is_backed) {
  FaultScope scope;
  Arena arena(64 << 20, placeFor("backed"));
  CHECK(arena.shared());
  CHECK_EQ(arena.stats().backed, 0u);
  faults.allocatableBytes = size_t{21} << 20;
  faults.allocateError = ENOSPC;
  int freed = 0;
  int subscription = arena.subscribe([&] { ++freed; });
  CHECK(arena.allocate(1));
  CHECK_EQ(arena.stats().backed, size_t{16} << 20);
  CHECK(!arena.allocate(30 << 20));  // takes what there is, in smaller steps
  CHECK_EQ(arena.stats().backed, size_t{21} << 20);
  MemoryRef all = arena.allocate(21 << 20);
  std::memset(all.data(), 1, all.size());
  CHECK(!arena.allocate(1));
  arena.startTouching();
  faults.allocateError = 0;
  CHECK(arena.allocate(30 << 20));  // asks again
  CHECK_EQ(freed, 1);
  arena.unsubscribe(subscription);
  arena.stopTouching();
}

TEST(shared_arena_on_a_full_tmpfs_refuses_instead_of_dying) {
  for (const char* options : {"size=64m", "size=64m,huge=advise", "size=64m,huge=always"}) {
    int code = inMount("tmpfs", options, [](const std::string& directory) {
      Arena arena(32 << 20, {"full", directory});
      int other = ::open((directory + "/other").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      int result = arena.shared() && ::fallocate(other, 0, 0, 40 << 20) == 0 ? 0 : 1;
      size_t used = 0;
      std::vector<MemoryRef> held;
      arena.startTouching();
      while (MemoryRef memory = arena.allocate(1 << 20)) {
        std::memset(memory.data(), 1, memory.size());
        used += memory.size();
        held.push_back(std::move(memory));
      }
      if (used == 0 || used >= arena.capacity() || arena.stats().refusals != 1) result = 2;
      ::close(other);
      return result;
    });
    checkMounted(code);
  }
}

TEST(arena_pages_are_touched_in_the_background_while_in_use) {
  for (const SharedPlace& place : {SharedPlace{}, placeFor("touch")}) {
    Arena arena(32 << 20, place);
    CHECK_EQ(arena.stats().touched, 0u);
    arena.startTouching();
    arena.startTouching();
    // Use the memory from both ends meanwhile: its content is kept.
    std::vector<MemoryRef> held;
    for (uint8_t i = 0; i < 24; ++i) {
      held.push_back(arena.allocate(i % 2 ? 1 << 20 : 4096));
      std::memset(held.back().data(), i, held.back().size());
    }
    WAIT_UNTIL(arena.stats().touched == arena.capacity());
    for (uint8_t i = 0; i < 24; ++i) {
      for (size_t at = 0; at < held[i].size(); at += 512) CHECK_EQ(held[i].data()[at], i);
    }
    CHECK_EQ(arena.stats().backed, arena.capacity());
    arena.stopTouching();
    arena.stopTouching();
  }
}

TEST(arena_pages_that_were_touched_take_no_faults) {
  for (const SharedPlace& place : {SharedPlace{}, placeFor("present")}) {
    Arena arena(32 << 20, place);
    arena.startTouching();
    MemoryRef all;
    // What is being touched is nobody's yet.
    WAIT_UNTIL(all = arena.allocate(arena.capacity()));
    WAIT_UNTIL(arena.stats().touched == arena.capacity());
    uint64_t before = kafabric::pageFaults();
    kafabric::touchPages(arena.base(), arena.capacity());
    CHECK(kafabric::pageFaults() - before < arena.capacity() / Arena::kGranuleBytes / 64);
  }
}

TEST(arena_pages_are_touched_in_proportion_to_use) {
  for (const SharedPlace& place : {SharedPlace{}, placeFor("proportion")}) {
    Arena arena(64 << 20, place);
    arena.startTouching();
    WAIT_UNTIL(arena.stats().touched == Arena::kReadyBytes);
    CHECK_EQ(arena.stats().backed, Arena::kReadyBytes);
    CHECK(arena.allocate(1 << 20));
    CHECK_EQ(arena.stats().backed, Arena::kReadyBytes);
    CHECK(arena.allocate(10 << 20));
    WAIT_UNTIL(arena.stats().touched == size_t{24} << 20);
    for (int i = 0; i < 100; ++i) CHECK(arena.allocate(10 << 20));  // what was in use before is used again
    CHECK_EQ(arena.stats().touched, size_t{24} << 20);
    CHECK_EQ(arena.stats().backed, size_t{24} << 20);
  }
}

TEST(arena_caches_give_way_before_fresh_pages_are_used) {
  constexpr size_t kStep = 1 << 20;
  Arena arena(2 * Arena::kPlentyBytes);
  std::deque<MemoryRef> cache;
  arena.setReclaimer([&](size_t bytes) {
    bool gives = !cache.empty();
    for (size_t freed = 0; freed < bytes && !cache.empty(); freed += kStep) cache.pop_front();
    return gives;
  });
  arena.startTouching();
  size_t most = 0;
  for (size_t turned = 0; turned < 2 * arena.capacity(); turned += kStep) {
    cache.push_back(arena.allocate(kStep));
    CHECK(cache.back());
    Arena::Stats now = arena.stats();
    CHECK(now.backed <= std::max(now.touched, Arena::kPlentyBytes) + (size_t{16} << 20));
    most = std::max(most, now.used);
  }
  CHECK(most >= Arena::kPlentyBytes - (size_t{16} << 20));
  arena.stopTouching();
  // Without the thread all may be used, present or not.
  std::vector<MemoryRef> held;
  while (MemoryRef memory = arena.allocate(kStep)) held.push_back(std::move(memory));
  CHECK_EQ(arena.stats().backed, arena.capacity());
  arena.setReclaimer({});
}

TEST(arena_refuses_nobody_while_another_thread_makes_it_grow) {
  for (int round = 0; round < 100; ++round) {
    Arena arena(16 << 20, round % 2 ? placeFor("race") : SharedPlace{});
    std::vector<MemoryRef> taken(4);
    std::vector<std::thread> threads;
    for (MemoryRef& memory : taken) threads.emplace_back([&arena, &memory] { memory = arena.allocate(4 << 20); });
    for (std::thread& thread : threads) thread.join();
    for (const MemoryRef& memory : taken) CHECK(memory);
  }
}

TEST(arena_pages_are_all_touched_when_others_make_it_grow_meanwhile) {
  for (int round = 0; round < 40; ++round) {
    Arena arena(32 << 20, placeFor("growth"));
    arena.startTouching();
    for (int i = 0; i < round; ++i) std::this_thread::yield();
    CHECK(arena.allocate(20 << 20));  // more than one step of growth
    WAIT_UNTIL(arena.stats().touched == arena.capacity());
  }
}

TEST(arena_pages_are_touched_at_the_priority_of_those_who_wait) {
  Arena arena(size_t{16} << 20);
  arena.startTouching();
  WAIT_UNTIL(arena.stats().touched == Arena::kReadyBytes);
  int seen = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name != "kafabric-arena") continue;
    ++seen;
    auto id = static_cast<id_t>(std::stoi(task.path().filename()));
    CHECK_EQ(::getpriority(PRIO_PROCESS, id), ::getpriority(PRIO_PROCESS, 0));
    CHECK_EQ(::sched_getscheduler(static_cast<pid_t>(id)), ::sched_getscheduler(0));
  }
  CHECK_EQ(seen, 1);
}

TEST(arena_touching_can_be_stopped_at_any_time) {
  for (int round = 0; round < 20; ++round) {
    Arena arena(size_t{64} << 20);
    arena.startTouching();
    if (round % 2) arena.stopTouching();
  }
}
