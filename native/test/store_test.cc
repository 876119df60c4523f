#include "store/store.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "batch/crc32c.h"
#include "store/directory_lock.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

/** In each of the two ways in which a store writes. */
template <typename Body>
void inBothModes(Body body) {
  for (bool direct : {false, true}) {
    StoreFixture fixture(direct);
    body(fixture);
  }
}

}  // namespace

TEST(store_survives_interruptions_and_partial_writes) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    faults.maxWriteBytes = 7;
    faults.interruptions = 5;
    std::string expected;
    std::vector<Outcome> outcomes(50);
    for (int i = 0; i < 50; ++i) {
      std::string text(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
      CHECK_EQ(file->append(parts(text), {}, outcomes[static_cast<size_t>(i)].done()).position, expected.size());
      expected += text;
    }
    for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
    CHECK_EQ(written(*file), expected);
  });
}

TEST(store_appends_of_many_threads_do_not_mix) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    std::vector<std::thread> threads;
    std::mutex mutex;
    std::vector<std::pair<uint64_t, std::string>> written;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          std::string text(static_cast<size_t>(1 + (i * 7 + t) % 50), static_cast<char>('A' + t));
          Outcome outcome;
          uint64_t position = file->append(parts(text), {}, outcome.done()).position;
          if (i % 10 == 0) CHECK(sync(*file).ok());
          CHECK(outcome.wait().ok());
          std::lock_guard lock(mutex);
          written.emplace_back(position, text);
        }
      });
    }
    for (auto& thread : threads) thread.join();
    std::string all = test::written(*file);
    size_t total = 0;
    for (auto& [position, text] : written) {
      CHECK_EQ(all.substr(position, text.size()), text);
      total += text.size();
    }
    CHECK_EQ(all.size(), total);
    CHECK_EQ(file->written(), total);
  });
}

TEST(store_full_disk_fails_what_is_queued_until_truncated) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    // Direct writes succeed and fail by whole blocks.
    size_t unit = file->handle()->blockBytes() > 0 ? 4096 : 5;
    std::string good(unit, 'g');
    CHECK(append(*file, good).ok());
    faults.writableBytes = unit + 2;
    faults.writeError = ENOSPC;
    // One fits, then a part of the next.
    std::vector<Outcome> outcomes(4);
    for (Outcome& outcome : outcomes) file->append(parts(std::string(unit, 'n')), {}, outcome.done());
    std::vector<IoStatus> statuses;
    for (Outcome& outcome : outcomes) statuses.push_back(outcome.wait());
    CHECK(statuses[0].ok());
    for (size_t i = 1; i < 4; ++i) CHECK_EQ(statuses[i].error, ENOSPC);
    CHECK_EQ(file->written(), 2 * unit);
    faults.reset();
    CHECK_EQ(append(*file, "refused").error, ENOSPC);
    CHECK_EQ(sync(*file).error, ENOSPC);
    CHECK_EQ(trim(*file).error, ENOSPC);
    CHECK_EQ(fixture.textAt(file, 0, 10 * unit), good + std::string(unit, 'n'));
    Outcome cut;
    Outcome after;
    file->truncate(2 * unit, cut.done());
    CHECK_EQ(file->append(parts("after"), {}, after.done()).position, 2 * unit);
    CHECK(cut.wait().ok());
    CHECK(after.wait().ok());
    CHECK(sync(*file).ok());
    CHECK_EQ(written(*file), good + std::string(unit, 'n') + "after");
    CHECK_EQ(fixture.textAt(file, unit, 10 * unit), std::string(unit, 'n') + "after");
    CHECK_EQ(fixture.store.counters().queuedBytes.load(), 0u);
  });
}

TEST(store_flushes_what_was_good_before_a_failure) {
  inBothModes([](StoreFixture& fixture) {
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
  });
}

TEST(store_failed_flush_poisons) {
  inBothModes([](StoreFixture& fixture) {
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
  });
}

TEST(store_failed_flush_outlasts_a_truncate_that_was_queued_before) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    CHECK(append(*file, "lost").ok());
    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
    for (int i = 0; i < 3; ++i) CHECK(fixture.store.writers().post([released] { released.wait(); }));
    faults.flushDelayMs = 50;
    faults.flushError = EIO;
    Outcome flushed;
    file->sync(flushed.done());
    Outcome cut;
    file->truncate(2, cut.done());
    CHECK_EQ(flushed.wait().error, EIO);
    faults.reset();
    release.set_value();
    CHECK(cut.wait().ok());
    CHECK_EQ(append(*file, "more").error, EIO);
    CHECK(truncate(*file, 0).ok());
    CHECK(append(*file, "again").ok());
  });
}

TEST(store_shares_flushes_and_makes_none_without_need) {
  inBothModes([](StoreFixture& fixture) {
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
  });
}

TEST(store_close_refuses_later_operations_but_the_handle_lives) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open("file", {true, false, 1 << 20});
    Outcome appended;
    Outcome closed;
    Outcome late;
    file->append(parts("last"), {}, appended.done());
    file->close(closed.done());
    file->append(parts("late"), {}, late.done());
    CHECK(appended.wait().ok());
    CHECK(closed.wait().ok());
    CHECK_EQ(late.wait().error, EBADF);
    auto handle = file->handle();
    file.reset();
    std::filesystem::remove(handle->path());
    alignas(kMaxBlockBytes) char bytes[kMaxBlockBytes];
    CHECK_EQ(::pread(handle->fd(), bytes, sizeof(bytes), 0), 4);
    CHECK(FileHandle::find(handle->id()) == handle);
  });
}

TEST(store_reads_wait_for_memory) {
  for (bool direct : {false, true}) {
    StoreOptions options = StoreFixture::optionsOf(direct);
    options.memoryTimeout = std::chrono::minutes(1);
    StoreFixture fixture(options);
    auto file = fixture.open();
    std::string text(10'000, 'r');
    CHECK(append(*file, text).ok());
    MemoryRef all = fixture.arena.allocate(fixture.arena.capacity());
    CHECK(all);
    auto waiting = std::async(std::launch::async, [&] { return fixture.read(file, 0, 20'000); });
    WAIT_UNTIL(fixture.store.counters().memoryWaits == 1);
    all.reset();
    RangeRead result = waiting.get();
    CHECK(result.status.ok());
    CHECK_EQ(result.piece.length, text.size());
    CHECK_EQ(result.crc, crc32c(0, text.data(), text.size()));
  }
}

TEST(store_reads_do_not_wait_for_memory_for_ever) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    CHECK(append(*file, std::string(10'000, 'r')).ok());
    MemoryRef all = fixture.arena.allocate(fixture.arena.capacity());
    CHECK(all);
    CHECK_EQ(fixture.read(file, 0, 5000).status.error, ETIMEDOUT);
    CHECK_EQ(fixture.store.counters().memoryWaits, 1u);
  });
}

TEST(store_reads_hold_nothing_that_they_wait_for) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    size_t chunk = fixture.arena.capacity() / 10;
    std::string text;
    for (char part = 'a'; part < 'g'; ++part) {
      std::string more(chunk, part);
      CHECK(append(*file, more).ok());
      text += more;
    }
    // Cached in pieces, which leave no room for all of it in one.
    RangeRead whole = fixture.read(file, 0, text.size());
    CHECK_EQ(whole.status.error, 0);
    CHECK(std::string(reinterpret_cast<const char*>(whole.piece.bytes), whole.piece.length) == text);
    CHECK_EQ(whole.crc, crc32c(0, text.data(), text.size()));
    CHECK(fixture.store.counters().memoryWaits == 0);
  });
}

TEST(store_stop_finishes_what_was_queued) {
  inBothModes([](StoreFixture& fixture) {
    auto file = fixture.open();
    faults.maxWriteBytes = 10;
    std::vector<Outcome> outcomes(100);
    for (Outcome& outcome : outcomes) file->append(parts("0123456789abcdef"), {}, outcome.done());
    Outcome synced;
    file->sync(synced.done());
    fixture.store.stop();
    for (Outcome& outcome : outcomes) CHECK(outcome.wait().ok());
    CHECK(synced.wait().ok());
    CHECK_EQ(written(*file).size(), 1600u);
    CHECK(sync(*file).ok());  // nothing left to flush
    RangeRead refused;
    fixture.store.read(file, {{0, 1, {}, {}}}, [&](std::vector<RangeRead> reads) { refused = std::move(reads[0]); });
    CHECK_EQ(refused.status.error, ESHUTDOWN);
  });
}

TEST(write_atomically_replaces_or_leaves_alone) {
  StoreFixture fixture;
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
  StoreFixture fixture;
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
