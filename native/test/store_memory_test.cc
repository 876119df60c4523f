// Appends that are acknowledged from shared memory, and what becomes of them when the device refuses them.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kSharedBytes = size_t{4} << 20;
constexpr AppendOptions kFromMemory{false, true};

SharedPlace placeOf(const char* test) { return {std::string("test-") + test + "-" + std::to_string(::getpid())}; }

/** Nothing is written before its time. */
StoreOptions patient() {
  StoreOptions options;
  options.threads = 2;
  options.writeDelay = std::chrono::hours(1);
  return options;
}

struct SharedFixture : StoreFixture {
  explicit SharedFixture(const char* test, StoreOptions options = patient())
      : StoreFixture(options, kSharedBytes, placeOf(test)) {
    CHECK_EQ(arena.sharedReason(), "");
  }
};

/** A file with `text`, and space ahead of it. */
std::shared_ptr<StoreFile> begun(StoreFixture& fixture, const std::string& text = "begin ", const std::string& name = "file") {
  auto file = fixture.open(name);
  CHECK(append(*file, text).ok());
  return file;
}

bool acknowledged(StoreFile& file, const std::string& text) {
  return file.append(parts(text), kFromMemory, [](const IoStatus&) {}).acknowledged;
}

/** Replays what a killed child has left, and checks that nothing is left then. */
ReplayReport replay(const SharedPlace& place) {
  IoStatus status;
  ReplayReport report = replayJournals(place, "", status);
  CHECK_EQ(status.message, "");
  CHECK_EQ(report.problems.size(), 0u);
  CHECK_EQ(sharedFilesOf(place).size(), 0u);
  return report;
}

/** Runs `body`, which gets a directory, in a process that is killed at its end; `body` returns whether all was well. */
template <typename Body>
void leaveBehind(Body body) {
  pid_t child = ::fork();
  if (child == 0) {
    try {
      body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

}  // namespace

TEST(store_acknowledges_from_memory_what_has_space) {
  SharedFixture fixture("space");
  auto file = fixture.open();
  CHECK(!acknowledged(*file, "no space is allocated yet"));
  CHECK(sync(*file).ok());
  uint64_t before = file->written();
  CHECK(acknowledged(*file, "one "));
  CHECK(acknowledged(*file, "two"));
  CHECK_EQ(file->written(), before);
  CHECK_EQ(fixture.textAt(file, before, 100), "one two");
  CHECK_EQ(fixture.store.journal()->stats().entries, 2u);
  CHECK_EQ(fixture.store.counters().acknowledged.load(), 2u);
  // A flush writes them first.
  CHECK(sync(*file).ok());
  CHECK_EQ(written(*file).substr(before), "one two");
  CHECK_EQ(fixture.store.journal()->stats().entries, 0u);
  CHECK(!acknowledged(*file, std::string(1 << 20, 'x')));  // not allocated so far
  CHECK(sync(*file).ok());
  CHECK(acknowledged(*file, std::string(300'000, 'y')));
  CHECK(close(*file).ok());
  CHECK_EQ(content(fixture.path()).size(), before + 7 + (1 << 20) + 300'000);
  CHECK_EQ(fixture.store.journal()->stats().entries, 0u);
  CHECK(!acknowledged(*file, "closed"));
}

TEST(store_acknowledges_from_memory_what_is_as_large_as_what_came_before) {
  constexpr size_t kLarge = size_t{80} << 20;  // more than is allocated ahead of small appends
  StoreFixture fixture(patient(), 5 * kLarge, placeOf("large"));
  auto file = fixture.open();
  if (file->handle()->blockBytes() == 0) return;
  std::string large(kLarge, 'x');
  CHECK(append(*file, large).ok());
  CHECK(acknowledged(*file, large));
  CHECK(sync(*file).ok());
  CHECK(acknowledged(*file, large));
  CHECK(close(*file).ok());
  CHECK_EQ(std::filesystem::file_size(fixture.path()), 3 * kLarge);
}

TEST(store_acknowledges_the_first_append_to_a_new_file_that_has_space_ahead) {
  constexpr uint64_t kAhead = uint64_t{64} << 10;
  OpenOptions ahead{true};
  ahead.aheadBytes = kAhead;
  SharedFixture fixture("ahead");
  auto plain = fixture.open("plain");
  if (plain->handle()->blockBytes() == 0) return;
  CHECK(!acknowledged(*plain, "waits"));
  auto file = fixture.open("file", ahead);
  CHECK_EQ(file->written(), 0u);
  CHECK(acknowledged(*file, "first "));
  CHECK(acknowledged(*file, std::string(kAhead - 6, 'x')));
  CHECK(!acknowledged(*file, "one too many"));
  CHECK(close(*file).ok());
  CHECK_EQ(std::filesystem::file_size(fixture.path("file")), kAhead + 12);
  // One that is there is opened as it is, and what nobody wrote is given back.
  CHECK_EQ(fixture.open("file", ahead)->written(), kAhead + 12);
  auto unused = fixture.open("unused", ahead);
  CHECK(close(*unused).ok());
  CHECK_EQ(std::filesystem::file_size(fixture.path("unused")), 0u);
}

TEST(store_acknowledges_nothing_in_space_that_the_file_system_does_not_reserve) {
  SharedFixture fixture("unreserved");
  OpenOptions reserving{true};
  reserving.preallocateBytes = uint64_t{64} << 10;
  if (fixture.open("plain")->handle()->blockBytes() == 0) return;
  CHECK(acknowledged(*fixture.open("reserved", reserving), "there is room"));
  faults.allocateError = EOPNOTSUPP;
  auto file = fixture.open("file", reserving);
  Outcome done;
  CHECK(!file->append(parts("waits"), kFromMemory, done.done()).acknowledged);
  CHECK(done.wait().ok());
  CHECK_EQ(written(*file), "waits");
}

TEST(store_opens_a_new_file_that_can_have_no_space_ahead) {
  for (int error : {ENOSPC, EDQUOT, EOPNOTSUPP, EIO}) {
    SharedFixture fixture("no-ahead");
    OpenOptions ahead{true};
    ahead.aheadBytes = uint64_t{1} << 20;
    faults.allocateError = error;
    faults.allocatableBytes = size_t{64} << 10;
    faults.allocatesPart = true;
    auto file = fixture.open("file", ahead);
    CHECK_EQ(std::filesystem::file_size(fixture.path("file")), 0u);
    Outcome done;
    CHECK(!file->append(parts("waits"), kFromMemory, done.done()).acknowledged);
    CHECK(done.wait().ok());
    CHECK_EQ(written(*file), "waits");
  }
}

TEST(store_leaves_what_is_behind_the_first_appends_of_a_killed_process_as_zeros) {
  std::string directory = makeDirectory();
  SharedPlace place = placeOf("ahead-kill");
  leaveBehind([&] {
    Arena arena(kSharedBytes, place);
    Store store(patient(), arena);
    IoStatus status;
    OpenOptions ahead{true};
    ahead.aheadBytes = uint64_t{1} << 20;
    auto file = store.open(directory + "/file", ahead, status);
    store.open(directory + "/empty", ahead, status);
    if (!acknowledged(*file, "first")) CHECK_EQ(file->handle()->blockBytes(), 0u);
    ::kill(::getpid(), SIGKILL);
  });
  std::string all = content(directory + "/file");
  bool direct = !all.empty();
  if (direct) {
    CHECK_EQ(all.find_first_not_of('\0'), std::string::npos);
    CHECK_EQ(replay(place).entries, 1u);
    all = content(directory + "/file");
    CHECK_EQ(all.substr(0, 5), "first");
    CHECK_EQ(all.find_first_not_of('\0', 5), std::string::npos);
    CHECK_EQ(content(directory + "/empty").find_first_not_of('\0'), std::string::npos);
  }
  for (const auto& path : sharedFilesOf(place)) ::unlink(path.c_str());
  std::filesystem::remove_all(directory);
}

TEST(store_acknowledges_nothing_behind_what_may_fail) {
  SharedFixture fixture("order");
  auto file = begun(fixture);
  faults.maxWriteBytes = 1;
  Outcome plain;
  file->append(parts(std::string(8 << 10, 'p')), {}, plain.done());
  bool early = acknowledged(*file, "behind");
  bool ready = plain.ready();
  CHECK(!early || ready);
  CHECK(plain.wait().ok());
  CHECK(sync(*file).ok());
  CHECK(acknowledged(*file, "now"));
  Outcome cut;
  file->truncate(3, cut.done());
  early = acknowledged(*file, "behind a truncate");
  CHECK(cut.wait().ok());
  CHECK(!early);
  CHECK(sync(*file).ok());
  CHECK_EQ(written(*file), "begbehind a truncate");
  // A plain append takes what was acknowledged before it along.
  CHECK(acknowledged(*file, " one"));
  CHECK(append(*file, " two").ok());
  CHECK_EQ(written(*file), "begbehind a truncate one two");
}

TEST(store_acknowledges_what_waited_when_nothing_before_it_can_fail_any_more) {
  SharedFixture fixture("waited");
  auto file = fixture.open();
  // So many parts are written in a turn of their own.
  std::vector<AppendPart> many(1024, parts("x")[0]);
  std::string other = "other";
  for (AppendPart& part : many) part.bytes = reinterpret_cast<const uint8_t*>(other.data());
  Outcome first, second;
  CHECK(!file->append(many, kFromMemory, first.done()).acknowledged);
  bool early = file->append(parts("second"), kFromMemory, second.done()).acknowledged;
  CHECK(first.wait().ok());
  if (!early) CHECK(second.wait().ok());
  CHECK(acknowledged(*file, "third"));
  // Nothing but the first is written.
  CHECK_EQ(file->written(), 1024u);
  CHECK_EQ(fixture.store.journal()->stats().entries, 2u);
  CHECK_EQ(fixture.store.counters().acknowledged.load(), 2u);
  CHECK(sync(*file).ok());
  CHECK_EQ(written(*file), std::string(1024, 'o') + "secondthird");
  CHECK_EQ(fixture.store.journal()->stats().entries, 0u);
}

TEST(store_acknowledges_no_more_than_a_share_of_the_arena) {
  SharedFixture fixture("share");
  auto file = begun(fixture);
  CHECK(append(*file, std::string(4 << 20, 'a')).ok());  // space for as much again
  std::string text(100'000, 'b');
  size_t count = 0;
  while (acknowledged(*file, text)) ++count;
  CHECK(count == 10);
  CHECK(close(*file).ok());
  CHECK_EQ(content(fixture.path()).size(), 6 + (4 << 20) + (count + 1) * text.size());
}

TEST(store_writes_what_was_acknowledged_after_a_while) {
  StoreOptions options;
  options.writeDelay = std::chrono::milliseconds(2);
  SharedFixture fixture("timer", options);
  auto file = begun(fixture);
  std::string expected = "begin ";
  for (int i = 0; i < 50; ++i) {
    std::string text = std::to_string(i) + ",";
    expected += text;
    acknowledged(*file, text);
  }
  CHECK(sync(*begun(fixture, "x", "other")).ok());
  WAIT_UNTIL(file->written() >= expected.size());
  CHECK_EQ(written(*file), expected);
  // A file that nobody holds any more is written all the same.
  acknowledged(*file, "last");
  std::string path = file->handle()->path();
  file.reset();
  WAIT_UNTIL(content(path).find("last") != std::string::npos);
  WAIT_UNTIL(fixture.store.journal()->stats().entries == 0);
}

TEST(store_stop_writes_what_was_acknowledged) {
  SharedFixture fixture("stop");
  auto file = begun(fixture);
  CHECK(acknowledged(*file, "one "));
  fixture.store.stop();
  CHECK_EQ(written(*file), "begin one ");
  acknowledged(*file, "two");
  CHECK_EQ(written(*file), "begin one two");
}

TEST(store_acknowledges_nothing_from_private_memory_or_the_page_cache) {
  StoreFixture fixture(patient());
  CHECK(!acknowledged(*begun(fixture), "private"));
  StoreOptions buffered = patient();
  buffered.direct = false;
  SharedFixture shared("buffered", buffered);
  auto file = shared.open("file", {true, false, 1 << 20});
  MemoryRef memory = shared.arena.allocate(1000);
  Outcome outcome;
  CHECK(!file->append({{memory.data(), 1000, memory}}, kFromMemory, outcome.done()).acknowledged);
  CHECK(outcome.wait().ok());
}

TEST(store_keeps_what_the_device_refused) {
  for (bool closes : {false, true}) {
    SharedFixture fixture("refused");
    auto file = begun(fixture);
    CHECK(acknowledged(*file, "kept "));
    CHECK(acknowledged(*file, std::string(9000, 'k')));
    faults.writeError = ENOSPC;
    Outcome behind;
    file->append(parts("refused"), {}, behind.done());
    CHECK_EQ(behind.wait().error, ENOSPC);
    CHECK(!acknowledged(*file, "poisoned"));
    CHECK_EQ(sync(*file).error, ENOSPC);
    CHECK_EQ(file->written(), 6u);
    uint64_t end = 6 + 5 + 9000;
    std::string expected = "begin kept " + std::string(9000, 'k');
    for (int i = 0; i < 5; ++i) fixture.arena.allocate(kSharedBytes / 2);  // nothing takes it away
    CHECK_EQ(fixture.textAt(file, 0, 20'000), expected);
    CHECK_EQ(fixture.store.journal()->stats().entries, 2u);
    CHECK_EQ(truncate(*file, end).error, ENOSPC);
    CHECK_EQ(fixture.store.journal()->stats().entries, 2u);
    faults.reset();
    CHECK((closes ? close(*file) : truncate(*file, end)).ok());
    CHECK_EQ(content(fixture.path()), expected);
    CHECK_EQ(fixture.store.journal()->stats().entries, 0u);
    if (closes) continue;
    CHECK(append(*file, "more").ok());
    CHECK(acknowledged(*file, "again"));
    faults.flushError = EIO;
    CHECK_EQ(sync(*file).error, EIO);
    faults.flushError = 0;
    CHECK_EQ(fixture.textAt(file, end, 100), "moreagain");
    // What is cut off is not written any more.
    CHECK(truncate(*file, 8).ok());
    CHECK_EQ(content(fixture.path()), "begin ke");
    CHECK_EQ(fixture.store.journal()->stats().entries, 0u);
  }
}

TEST(store_leaves_what_the_device_refused_to_the_next_process) {
  SharedPlace place = placeOf("next");
  std::string directory = makeDirectory();
  std::string large(300'000, 'l');
  leaveBehind([&] {
    Arena arena(kSharedBytes, place);
    {
      Store store(patient(), arena);
      IoStatus status;
      auto file = store.open(directory + "/file", {true}, status);
      CHECK(append(*file, std::string(1 << 20, 'b')).ok());
      CHECK(acknowledged(*file, "small"));
      MemoryRef memory = arena.allocate(large.size());
      std::memcpy(memory.data(), large.data(), large.size());
      CHECK(file->append({{memory.data(), large.size(), memory}}, kFromMemory, [](const IoStatus&) {}).acknowledged);
      faults.writeError = EIO;
      CHECK_EQ(close(*file).error, EIO);
      CHECK(!store.open(directory + "/file", {}, status));  // before the file is let go, too
    }
    // The memory, and its place in the journal, are nobody else's, whatever happens next.
    faults.reset();
    Store store(patient(), arena);
    IoStatus status;
    CHECK(!store.open(directory + "/file", {}, status));
    CHECK_EQ(status.error, EIO);
    status = {};
    OpenOptions toRead;
    toRead.readOnly = true;
    CHECK(store.open(directory + "/file", toRead, status));
    auto other = store.open(directory + "/other", {true}, status);
    for (int i = 0; i < 20; ++i) CHECK(append(*other, std::string(500'000, 'o')).ok());
    CHECK(acknowledged(*other, "of the second"));
    CHECK(!arena.releaseShared());
    CHECK_EQ(store.journal()->stats().entries, 3u);
    ::raise(SIGKILL);
  });
  ReplayReport report = replay(place);
  CHECK_EQ(report.entries, 3u);
  CHECK_EQ(report.files, 2u);
  auto holds = [&](const char* name, const std::string& expected) {
    std::string all = content(directory + name);  // ends with space that was allocated ahead
    return all.compare(0, expected.size(), expected) == 0 && all.find_first_not_of('\0', expected.size()) == std::string::npos;
  };
  CHECK(holds("/file", std::string(1 << 20, 'b') + "small" + large));
  CHECK(holds("/other", std::string(10'000'000, 'o') + "of the second"));
  std::filesystem::remove_all(directory);
}
