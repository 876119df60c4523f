// Files written through a mapping. Any memory is declared persistent here; with libpmem where it is installed, else with msync.
#include "store/persistent_memory.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

// Before libpmem is loaded, which reads it then.
[[maybe_unused]] const int kForced = ::setenv("PMEM_IS_PMEM_FORCE", "1", 1);

constexpr uint64_t kSize = RecycledFiles::kMinBytes;

std::string patternOf(size_t bytes, size_t seed) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + (i * 31 + i / 4093 + seed) % 26);
  return text;
}

uint64_t sizeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

struct PersistentFixture : StoreFixture {
  PersistentFixture() : StoreFixture(true) { CHECK(store.persistent().add(directory).persistence != Persistence::none); }
};

}  // namespace

TEST(persistent_memory_holds_what_is_appended_and_needs_no_flush) {
  PersistentFixture fixture;
  auto file = fixture.open();
  CHECK_EQ(file->handle()->blockBytes(), 0u);
  CHECK(sync(*file).ok());
  int before = faults.flushes;
  std::string expected;
  for (size_t bytes : {size_t{1}, size_t{4095}, size_t{100'000}, size_t{3} << 20, size_t{0}, size_t{7}}) {
    std::string text = patternOf(bytes, expected.size());
    CHECK(append(*file, text).ok());
    expected += text;
  }
  CHECK(sync(*file).ok());
  CHECK_EQ(written(*file), expected);
  CHECK_EQ(fixture.textAt(file, 4000, 200), expected.substr(4000, 200));
  // Only where the file became longer.
  CHECK(faults.flushes - before < 6);
  CHECK(close(*file).ok());
  CHECK(content(fixture.path()) == expected);
}

TEST(persistent_memory_is_cut_and_goes_on_behind_the_cut) {
  PersistentFixture fixture;
  auto file = fixture.open();
  std::string first = patternOf(1 << 20, 1);
  CHECK(append(*file, first).ok());
  CHECK(truncate(*file, 5000).ok());
  CHECK_EQ(sizeOf(fixture.path()), 5000u);
  std::string second = patternOf(200'000, 2);
  CHECK(append(*file, second).ok());
  CHECK(sync(*file).ok());
  CHECK(close(*file).ok());
  CHECK(content(fixture.path()) == first.substr(0, 5000) + second);
  auto again = fixture.open("file", {});
  CHECK(append(*again, "more").ok());
  CHECK(close(*again).ok());
  CHECK(content(fixture.path()) == first.substr(0, 5000) + second + "more");
}

TEST(persistent_memory_that_is_full_refuses_and_leaves_what_was_there) {
  PersistentFixture fixture;
  auto file = fixture.open();
  CHECK(append(*file, "kept").ok());
  faults.allocateError = ENOSPC;
  CHECK_EQ(append(*file, patternOf(1 << 20, 3)).error, ENOSPC);
  CHECK_EQ(append(*file, "refused").error, ENOSPC);
  faults.allocateError = 0;
  CHECK(truncate(*file, 4).ok());
  CHECK(append(*file, " and more").ok());
  CHECK(close(*file).ok());
  CHECK_EQ(content(fixture.path()), "kept and more");
}

TEST(persistent_memory_believes_no_flush_after_one_that_failed) {
  PersistentFixture fixture;
  auto file = fixture.open();
  CHECK(append(*file, "kept").ok());
  // The file becomes longer, of which the device does not hear.
  faults.flushError = EIO;
  CHECK_EQ(append(*file, patternOf(100'000, 1)).error, EIO);
  faults.flushError = 0;
  CHECK(truncate(*file, 4).ok());
  CHECK(append(*file, " and more").ok());
  CHECK(close(*file).ok());
  CHECK_EQ(content(fixture.path()), "kept and more");
}

TEST(persistent_memory_that_msync_refused_once_is_not_believed_later) {
  PersistentFixture fixture;
  if (PersistentMemoryLibrary::get()) return;
  auto file = fixture.open();
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  for (unsigned i = 0; i < StoreFixture::optionsOf(true).threads; ++i) fixture.store.writers().post([going] { going.wait(); });
  // Written together: the first is all in a window that is left for the second.
  Outcome first;
  Outcome second;
  file->append(parts(patternOf(60'000, 1)), {}, first.done());
  file->append(parts(patternOf(100'000, 2)), {}, second.done());
  faults.mappingFlushErrors = 1;
  go.set_value();
  CHECK_EQ(first.wait().error, EIO);
  CHECK_EQ(second.wait().error, EIO);
  CHECK(truncate(*file, 0).ok());
  CHECK(append(*file, "again").ok());
  CHECK(close(*file).ok());
  CHECK_EQ(content(fixture.path()), "again");
}

TEST(persistent_memory_begins_with_files_of_the_pool) {
  PersistentFixture fixture;
  RecycledFiles& recycled = fixture.store.recycled();
  recycled.keepIn(fixture.directory, 3 * kSize, true);
  fixture.store.preparer().prepare(fixture.directory, 2 * kSize, kSize, true);
  WAIT_UNTIL(recycled.keptIn(fixture.directory) == 2 * kSize);
  fixture.store.preparer().stop();  // it would replace what is taken before it has seen that there is enough
  OpenOptions options{true};
  options.recycledBytes = kSize;
  auto file = fixture.open("file", options);
  CHECK_EQ(recycled.keptIn(fixture.directory), kSize);
  CHECK_EQ(file->written(), 0u);
  std::string text = patternOf(kSize, 4);
  CHECK(append(*file, text).ok());
  CHECK(close(*file).ok());
  auto handle = std::weak_ptr(file->handle());
  file.reset();
  WAIT_UNTIL(handle.expired());
  CHECK(content(fixture.path()) == text);
  // Back to the pool, and out again as it is: nobody reads what was not written again.
  CHECK(fixture.store.remove(fixture.path()).ok());
  CHECK_EQ(recycled.keptIn(fixture.directory), 2 * kSize);
  for (const char* name : {"one", "two"}) {
    auto next = fixture.open(name, options);
    CHECK(append(*next, "short").ok());
    CHECK(close(*next).ok());
    CHECK_EQ(content(fixture.path(name)), "short");
  }
}

TEST(persistent_memory_is_told_from_ordinary_files) {
  PersistentDirectories directories;
  PersistentDirectories::Found found = directories.add("/proc");
  CHECK(found.persistence == Persistence::none);
  CHECK(!found.detail.empty());
  CHECK(directories.of("/proc/file") == Persistence::none);
  CHECK(directories.of("/elsewhere/file") == Persistence::none);
}
