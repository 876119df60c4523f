// Processes that are killed while they append: what they had announced is found by the next one.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kSharedBytes = size_t{8} << 20;
constexpr uint32_t kThreads = 2;
constexpr uint32_t kFiles = 6;

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

/** What is at a place of a file says where it is. */
std::string pattern(uint32_t file, uint64_t position, size_t length) {
  uint64_t first = position / 8;
  std::vector<uint64_t> words((position + length + 7) / 8 - first);
  for (size_t i = 0; i < words.size(); ++i) words[i] = mix((uint64_t{file + 1} << 48) + first + i);
  return {reinterpret_cast<const char*>(words.data()) + position % 8, length};
}

/** Written to a pipe in one piece. */
struct Announcement {
  uint32_t file;
  uint32_t length;
  uint64_t position;
};

void announce(int pipe, const Announcement& announcement) {
  if (::write(pipe, &announcement, sizeof(announcement)) != sizeof(announcement)) ::_exit(3);
}

/** Appends for ever to some of the files. */
void appendForEver(StoreFixture& fixture, int pipe, uint32_t thread, uint32_t seed) {
  std::mt19937 random(seed + thread);
  std::vector<std::shared_ptr<StoreFile>> files;
  for (uint32_t f = thread; f < kFiles; f += kThreads) files.push_back(fixture.open(std::to_string(f)));
  std::vector<uint64_t> ends(files.size());
  for (;;) {
    size_t pick = random() % files.size();
    uint32_t number = thread + static_cast<uint32_t>(pick) * kThreads;
    StoreFile& file = *files[pick];
    size_t length = 1 + random() % (random() % 10 == 0 ? 60'000 : 2000);
    std::string text = pattern(number, ends[pick], length);
    std::vector<AppendPart> all = parts(text);
    MemoryRef memory = random() % 2 == 0 ? fixture.arena.allocate(length) : MemoryRef();
    if (memory) {
      std::memcpy(memory.data(), text.data(), length);
      all[0] = {memory.data(), length, memory};
    }
    Outcome outcome;
    AppendResult result = file.append(all, {false, random() % 8 > 0}, outcome.done());
    if (result.position != ends[pick]) ::_exit(4);
    if (!result.acknowledged && !outcome.wait().ok()) ::_exit(5);
    announce(pipe, {number, static_cast<uint32_t>(length), result.position});
    ends[pick] += length;
    if (random() % 50 == 0 && !sync(file).ok()) ::_exit(6);
    if (random() % 200 == 0 && !trim(file).ok()) ::_exit(7);
  }
}

/** What a process does until it is killed. */
using Work = void (*)(StoreFixture&, int pipe, uint32_t seed);

void appendToAll(StoreFixture& fixture, int pipe, uint32_t seed) {
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) threads.emplace_back([&, t] { appendForEver(fixture, pipe, t, seed); });
  for (auto& thread : threads) thread.join();
}

constexpr uint64_t kRemoved = UINT64_MAX;

/** Fills one file after the other, each with the space of the one that was removed before. */
void recycleForEver(StoreFixture& fixture, int pipe, uint32_t seed) {
  std::mt19937 random(seed);
  fixture.store.recycled().keepIn(fixture.directory, 4 * RecycledFiles::kMinBytes);
  OpenOptions recycling{true};
  recycling.recycledBytes = 4 * RecycledFiles::kMinBytes;
  recycling.aheadBytes = RecycledFiles::kMinBytes / 2;
  for (uint32_t number = seed % 1'000'000;; ++number) {
    auto file = fixture.open(std::to_string(number), recycling);
    uint64_t end = 0;
    uint64_t most = RecycledFiles::kMinBytes + random() % 100'000;
    while (end < most) {
      size_t length = 1 + random() % 400'000;
      Outcome outcome;
      AppendResult result = file->append(parts(pattern(number, end, length)), {false, random() % 4 > 0}, outcome.done());
      if (!result.acknowledged && !outcome.wait().ok()) ::_exit(5);
      announce(pipe, {number, static_cast<uint32_t>(length), end});
      end += length;
    }
    if (!close(*file).ok()) ::_exit(6);
    std::weak_ptr<FileHandle> handle = file->handle();
    file.reset();
    while (!handle.expired()) std::this_thread::yield();
    announce(pipe, {number, 0, kRemoved});
    if (!fixture.store.remove(fixture.path(std::to_string(number))).ok()) ::_exit(7);
  }
}

[[noreturn]] void runChild(Work work, const std::string& directory, const SharedPlace& place, int pipe, uint32_t seed) {
  StoreOptions options;
  options.threads = 2;
  options.writeDelay = std::chrono::milliseconds(seed % 8);
  StoreFixture fixture(options, kSharedBytes, place, directory);
  if (!fixture.arena.shared()) ::_exit(2);
  work(fixture, pipe, seed);
  ::_exit(1);
}

void killAndWait(pid_t child) {
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/** Reads up to `limit` announcements; fewer at the end of the pipe. */
void readAnnouncements(int pipe, size_t limit, std::vector<Announcement>& all) {
  Announcement next{};
  for (size_t i = 0; i < limit && ::read(pipe, &next, sizeof(next)) == sizeof(next); ++i) all.push_back(next);
}

/** Replays in processes that are killed, too. */
void replayInterrupted(const SharedPlace& place, std::mt19937& random) {
  for (size_t i = random() % 4; i > 0; --i) {
    pid_t child = ::fork();
    if (child == 0) {
      faults.maxWriteBytes = 4096;
      faults.flushDelayMs = 1;
      IoStatus status;
      replayJournals(place, "", status);
      ::pause();
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 4000));
    killAndWait(child);
  }
}

struct Round {
  std::string directory = makeDirectory();
  SharedPlace place{"test-kill-" + std::to_string(::getpid())};
  std::vector<Announcement> announced;

  ~Round() {
    std::filesystem::remove_all(directory);
    for (const auto& path : sharedFilesOf(place)) ::unlink(path.c_str());
  }

  void runUntilKilled(Work work, size_t announcements, std::mt19937& random) {
    int ends[2];
    CHECK_EQ(::pipe(ends), 0);
    uint32_t seed = random();
    pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      runChild(work, directory, place, ends[1], seed);
    }
    ::close(ends[1]);
    announced.clear();
    readAnnouncements(ends[0], announcements, announced);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    killAndWait(child);
    readAnnouncements(ends[0], SIZE_MAX, announced);
    ::close(ends[0]);
  }

  /** The file that was written last has what was announced, and behind it nothing of another file. Returns how many were removed before it. */
  size_t checkLast() const {
    size_t removals = 0;
    uint32_t last = 0;
    uint64_t end = 0;
    for (const Announcement& a : announced) {
      removals += a.position == kRemoved;
      end = a.position == kRemoved ? 0 : a.position + a.length;
      last = a.file;
    }
    if (end == 0) return removals;
    std::string path = directory + "/" + std::to_string(last);
    std::string all = content(path);
    std::string wanted = pattern(last, 0, all.size());
    CHECK(all.size() >= end);
    CHECK(all.compare(0, end, wanted, 0, end) == 0);
    // One append more may have begun.
    for (size_t at = end; at < all.size(); ++at) CHECK(all[at] == 0 || all[at] == wanted[at]);
    std::filesystem::remove(path);
    return removals;
  }

  void check() const {
    std::vector<std::string> contents;
    for (uint32_t f = 0; f < kFiles; ++f) contents.push_back(content(directory + "/" + std::to_string(f)));
    for (const Announcement& a : announced) {
      CHECK(contents[a.file].size() >= a.position + a.length);
      CHECK(contents[a.file].compare(a.position, a.length, pattern(a.file, a.position, a.length)) == 0);
    }
  }
};

}  // namespace

TEST(store_keeps_what_was_announced_through_kills) {
  std::mt19937 random(5);
  uint64_t replayed = 0;
  for (int i = 0; i < 30; ++i) {
    Round round;
    round.runUntilKilled(appendToAll, i == 0 ? 0 : random() % 1500, random);
    replayInterrupted(round.place, random);
    IoStatus status;
    ReplayReport report = replayJournals(round.place, "", status);
    CHECK_EQ(status.message, "");
    CHECK_EQ(report.problems.size(), 0u);
    CHECK_EQ(sharedFilesOf(round.place).size(), 0u);
    replayed += report.entries;
    round.check();
  }
  CHECK(replayed > 0);
}

TEST(store_keeps_what_was_announced_through_kills_while_space_is_recycled) {
  std::mt19937 random(7);
  Round round;  // one directory: each process takes over what the last one kept
  size_t removals = 0;
  for (int i = 0; i < 12; ++i) {
    round.runUntilKilled(recycleForEver, random() % 400, random);
    IoStatus status;
    ReplayReport report = replayJournals(round.place, "", status);
    CHECK_EQ(status.message, "");
    CHECK_EQ(report.problems.size(), 0u);
    removals += round.checkLast();
  }
  CHECK(removals > 0);
}
