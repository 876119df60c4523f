#include "store/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "batch/crc32c.h"
#include "store/directory_lock.h"
#include "test/faults.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

/** A store in a directory of its own. */
struct Fixture {
  FaultScope faultScope;
  std::string directory;
  Arena arena{size_t{1} << 20};
  Store store;

  explicit Fixture(bool direct = true) : directory(makeDirectory()), store(options(direct), arena) {}
  static StoreOptions options(bool direct) {
    StoreOptions result;
    result.threads = 3;
    result.memoryTimeout = std::chrono::milliseconds(300);
    result.direct = direct;
    return result;
  }
  ~Fixture() {
    store.stop();
    std::filesystem::remove_all(directory);
  }
  static std::string makeDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "kafabric-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    return name;
  }
  std::shared_ptr<StoreFile> open(const std::string& name = "file", OpenOptions options = {true}) {
    IoStatus status;
    auto file = store.open(directory + "/" + name, options, status);
    CHECK_EQ(status.error, 0);
    return file;
  }
};

/** The outcome of an operation, to be waited for. */
class Outcome {
 public:
  StoreFile::Done done() {
    return [state = state_](const IoStatus& status) { state->set_value(status); };
  }
  IoStatus wait() { return future_.get(); }

 private:
  std::shared_ptr<std::promise<IoStatus>> state_ = std::make_shared<std::promise<IoStatus>>();
  std::future<IoStatus> future_ = state_->get_future();
};

std::vector<AppendPart> parts(const std::string& text) {
  return {{reinterpret_cast<const uint8_t*>(text.data()), text.size(), {}}};
}

/** Queues text; returns its position. */
uint64_t queue(StoreFile& file, const std::string& text, Outcome& outcome) {
  return file.append(parts(text), {}, outcome.done()).position;
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

/** What was appended: without the zeros of space that is allocated ahead. */
std::string content(StoreFile& file) {
  std::string all = content(file.handle()->path());
  CHECK(all.size() >= file.written());
  CHECK(all.find_first_not_of('\0', file.written()) == std::string::npos);
  return all.substr(0, file.written());
}

IoStatus append(StoreFile& file, const std::string& text) {
  Outcome outcome;
  queue(file, text, outcome);
  return outcome.wait();
}
IoStatus sync(StoreFile& file) {
  Outcome outcome;
  file.sync(outcome.done());
  return outcome.wait();
}
IoStatus truncate(StoreFile& file, uint64_t size) {
  Outcome outcome;
  file.truncate(size, outcome.done());
  return outcome.wait();
}

}  // namespace

namespace {

void surviveInterruptions(bool direct) {
  Fixture fixture(direct);
  auto file = fixture.open();
  faults.maxWriteBytes = direct ? 512 : 7;
  faults.interruptions = 5;
  std::string expected;
  std::vector<Outcome> outcomes(50);
  for (int i = 0; i < 50; ++i) {
    std::string text(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
    CHECK_EQ(queue(*file, text, outcomes[static_cast<size_t>(i)]), expected.size());
    expected += text;
  }
  for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
  CHECK_EQ(content(*file), expected);
}

}  // namespace

TEST(store_survives_interruptions_and_partial_writes) { surviveInterruptions(true); }

TEST(store_survives_interruptions_and_partial_writes_of_the_page_cache) { surviveInterruptions(false); }

TEST(store_appends_of_many_threads_do_not_mix) {
  Fixture fixture;
  auto file = fixture.open();
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::vector<std::pair<uint64_t, std::string>> written;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        std::string text(static_cast<size_t>(1 + (i * 7 + t) % 50), static_cast<char>('A' + t));
        Outcome outcome;
        uint64_t position = queue(*file, text, outcome);
        if (i % 10 == 0) CHECK(sync(*file).ok());
        CHECK(outcome.wait().ok());
        std::lock_guard lock(mutex);
        written.emplace_back(position, text);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::string all = content(*file);
  size_t total = 0;
  for (auto& [position, text] : written) {
    CHECK_EQ(all.substr(position, text.size()), text);
    total += text.size();
  }
  CHECK_EQ(all.size(), total);
  CHECK_EQ(file->written(), total);
}

TEST(store_full_disk_fails_what_is_queued_until_truncated) {
  Fixture fixture(false);
  auto file = fixture.open();
  CHECK(append(*file, "good ").ok());
  faults.writableBytes = 7;
  faults.writeError = ENOSPC;
  // Queued together behind a slow start: five bytes fit, then a part of the next.
  std::vector<Outcome> outcomes(4);
  for (Outcome& outcome : outcomes) queue(*file, "12345", outcome);
  std::vector<IoStatus> statuses;
  for (Outcome& outcome : outcomes) statuses.push_back(outcome.wait());
  CHECK(statuses[0].ok());
  for (size_t i = 1; i < 4; ++i) CHECK_EQ(statuses[i].error, ENOSPC);
  CHECK_EQ(file->written(), 10u);
  faults.reset();
  CHECK_EQ(append(*file, "refused").error, ENOSPC);
  CHECK_EQ(sync(*file).error, ENOSPC);
  Outcome cut;
  Outcome after;
  file->truncate(10, cut.done());
  CHECK_EQ(queue(*file, "after", after), 10u);
  CHECK(cut.wait().ok());
  CHECK(after.wait().ok());
  CHECK(sync(*file).ok());
  CHECK_EQ(content(*file), "good 12345after");
  CHECK_EQ(fixture.store.counters().queuedBytes.load(), 0u);
}

TEST(store_flushes_what_was_good_before_a_failure) {
  Fixture fixture;
  auto file = fixture.open();
  faults.flushDelayMs = 30;
  Outcome running;
  CHECK(append(*file, "one").ok());
  file->sync(running.done());
  CHECK(append(*file, "two").ok());
  Outcome waiting;  // behind the running flush
  file->sync(waiting.done());
  faults.writeError = EIO;
  CHECK_EQ(append(*file, "three").error, EIO);
  CHECK(running.wait().ok());
  CHECK(waiting.wait().ok());
  CHECK_EQ(sync(*file).error, EIO);
}

TEST(store_failed_flush_poisons) {
  Fixture fixture;
  auto file = fixture.open();
  CHECK(append(*file, "lost").ok());
  faults.flushError = EIO;
  CHECK_EQ(sync(*file).error, EIO);
  faults.flushError = 0;
  CHECK_EQ(append(*file, "more").error, EIO);
  CHECK_EQ(sync(*file).error, EIO);
  CHECK(truncate(*file, 0).ok());
  CHECK(append(*file, "again").ok());
  CHECK(sync(*file).ok());
}

TEST(store_shares_flushes_and_makes_none_without_need) {
  Fixture fixture;
  auto file = fixture.open();
  faults.flushDelayMs = 20;
  std::vector<Outcome> outcomes(40);
  for (Outcome& outcome : outcomes) {
    CHECK(append(*file, "x").ok());
    file->sync(outcome.done());
  }
  for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
  CHECK(faults.flushes <= 20);
  int before = faults.flushes;
  CHECK(sync(*file).ok());
  CHECK_EQ(faults.flushes.load(), before);
  auto again = fixture.open();
  CHECK(sync(*again).ok());  // what another process wrote may not be durable
  CHECK_EQ(faults.flushes.load(), before + 1);
}

TEST(store_close_refuses_later_operations_but_the_handle_lives) {
  Fixture fixture;
  auto file = fixture.open("file", {true, false, 1 << 20});
  Outcome appended;
  Outcome closed;
  Outcome late;
  queue(*file, "last", appended);
  file->close(closed.done());
  queue(*file, "late", late);
  CHECK(appended.wait().ok());
  CHECK(closed.wait().ok());
  CHECK_EQ(late.wait().error, EBADF);
  auto handle = file->handle();
  file.reset();
  std::filesystem::remove(handle->path());
  char bytes[4];
  CHECK_EQ(::pread(handle->sendFd(), bytes, 4, 0), 4);
  CHECK_EQ(std::string(bytes, 4), "last");
  CHECK(FileHandle::find(handle->id()) == handle);
}

TEST(store_reads_wait_for_memory) {
  Fixture fixture(false);
  auto file = fixture.open();
  std::string text(10'000, 'r');
  CHECK(append(*file, text).ok());
  auto read = [&](size_t length) {
    auto result = std::make_shared<std::promise<Store::ReadResult>>();
    fixture.store.read(file, 0, length, true, 0, [result](Store::ReadResult r) { result->set_value(std::move(r)); });
    return result->get_future();
  };
  MemoryRef all = fixture.arena.allocate(fixture.arena.capacity());
  CHECK(all);
  CHECK_EQ(read(5000).get().status.error, ETIMEDOUT);
  auto waiting = read(20'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  all.reset();
  Store::ReadResult result = waiting.get();
  CHECK(result.status.ok());
  CHECK_EQ(result.piece.length, text.size());
  CHECK_EQ(result.crc, crc32c(0, text.data(), text.size()));
  CHECK(fixture.store.counters().memoryWaits == 2);
}

TEST(store_stop_finishes_what_was_queued) {
  Fixture fixture;
  auto file = fixture.open();
  faults.maxWriteBytes = 512;
  std::vector<Outcome> outcomes(100);
  for (Outcome& outcome : outcomes) queue(*file, "0123456789abcdef", outcome);
  Outcome synced;
  file->sync(synced.done());
  fixture.store.stop();
  for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
  CHECK(synced.wait().ok());
  CHECK_EQ(content(*file).size(), 1600u);
  CHECK(sync(*file).ok());  // nothing left to flush
  Store::ReadResult refused;
  fixture.store.read(file, 0, 1, false, 0, [&](Store::ReadResult result) { refused = std::move(result); });
  CHECK_EQ(refused.status.error, ESHUTDOWN);
}

TEST(write_atomically_replaces_or_leaves_alone) {
  Fixture fixture;
  std::string path = fixture.directory + "/checkpoint";
  auto write = [&](const std::string& text) {
    return writeAtomically(path, reinterpret_cast<const uint8_t*>(text.data()), text.size());
  };
  CHECK(write("first").ok());
  faults.writeError = ENOSPC;
  faults.writableBytes = 2;
  CHECK_EQ(write("second").error, ENOSPC);
  CHECK_EQ(content(path), "first");
  CHECK(!std::filesystem::exists(path + ".tmp"));
  faults.reset();
  CHECK(write("").ok());
  CHECK_EQ(content(path), "");
}

TEST(directory_lock_keeps_other_processes_out) {
  Fixture fixture;
  IoStatus status;
  auto lock = DirectoryLock::acquire(fixture.directory, status);
  CHECK(lock != nullptr);
  CHECK(!DirectoryLock::acquire(fixture.directory + "/.", status));
  CHECK_EQ(status.error, EBUSY);
  // A child does not inherit the lock; it may only make system calls between fork and exit.
  auto lockedForChild = [&] {
    std::string file = fixture.directory + "/.lock";
    pid_t child = ::fork();
    if (child == 0) {
      int fd = ::open(file.c_str(), O_RDWR);
      struct flock request {};
      request.l_type = F_WRLCK;
      ::_exit(fd >= 0 && ::fcntl(fd, F_SETLK, &request) == 0 ? 0 : 1);
    }
    int result = 0;
    ::waitpid(child, &result, 0);
    return WEXITSTATUS(result) == 1;
  };
  CHECK(lockedForChild());
  lock.reset();
  CHECK(!lockedForChild());
  CHECK(DirectoryLock::acquire(fixture.directory, status) != nullptr);
  CHECK(!DirectoryLock::acquire(fixture.directory + "/none", status));
  CHECK_EQ(status.error, ENOENT);
}
