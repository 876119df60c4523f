// Space of removed files under new names.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "test/mount_fixture.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr uint64_t kSize = RecycledFiles::kMinBytes;

/** A closed file of `size` bytes, written by the store. */
void writeFile(StoreFixture& fixture, const std::string& name, uint64_t size, char byte = 'x') {
  auto file = fixture.open(name);
  std::string piece(1 << 20, byte);
  Outcome last;
  for (uint64_t at = 0; at < size; at += piece.size()) {
    Outcome written;
    file->append(parts(piece.substr(0, std::min<uint64_t>(piece.size(), size - at))), {}, written.done());
    CHECK(written.wait().ok());
  }
  file->close(last.done());
  CHECK(last.wait().ok());
  auto handle = std::weak_ptr(file->handle());
  file.reset();
  WAIT_UNTIL(handle.expired());
}

ino_t inodeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

bool exists(const std::string& path) { return std::filesystem::exists(path); }

OpenOptions recycling(uint64_t most = uint64_t{1} << 30) {
  OpenOptions options{true};
  options.recycledBytes = most;
  return options;
}

std::string contentOf(StoreFixture& fixture, const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length) {
  RangeRead read = fixture.read(file, position, length);
  CHECK(read.status.ok());
  return {reinterpret_cast<const char*>(read.piece.bytes), read.piece.length};
}

/** False where the file system cannot do it: there is nothing to test then. */
bool canRecycle(StoreFixture& fixture) {
  auto probe = fixture.open("probe");
  return probe->handle()->blockBytes() > 0 && ::fallocate(probe->handle()->fd(), FALLOC_FL_ZERO_RANGE, 0, 4096) == 0;
}

}  // namespace

TEST(no_more_is_allocated_ahead_than_a_file_is_to_have) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  auto blocksOf = [&] {
    struct stat info {};
    CHECK_EQ(::stat(fixture.path("file").c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  };
  constexpr uint64_t kExpected = uint64_t{1} << 20;
  constexpr uint64_t kTree = 8192;  // the file system's own, of a file in many parts
  auto file = fixture.open("file", recycling(kExpected));
  for (int i = 0; i < 16; ++i) {
    CHECK(append(*file, std::string(kExpected / 16, 'x')).ok());
    CHECK(blocksOf() <= kExpected + kTree);
  }
  CHECK(append(*file, std::string(kExpected / 16, 'x')).ok());
  CHECK(blocksOf() > kExpected + kExpected / 16 + kTree);
}

TEST(recycled_space_becomes_a_new_file_without_its_old_bytes) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 4 * kSize);
  std::filesystem::create_directory(fixture.path("topic-0"));
  writeFile(fixture, "topic-0/old", kSize + 5000);
  ino_t inode = inodeOf(fixture.path("topic-0/old"));
  CHECK(fixture.store.remove(fixture.path("topic-0/old")).ok());
  CHECK(!exists(fixture.path("topic-0/old")));
  CHECK_EQ(fixture.store.recycled().stats().bytes, kSize + 5000);

  auto file = fixture.open("topic-0/new", recycling());
  CHECK_EQ(inodeOf(fixture.path("topic-0/new")), inode);
  CHECK_EQ(fixture.store.recycled().stats().bytes, 0u);
  CHECK_EQ(fixture.store.recycled().stats().taken, 1u);
  CHECK_EQ(file->written(), 0u);
  CHECK_EQ(contentOf(fixture, file, 0, 100), "");
  Outcome written;
  CHECK_EQ(file->append(parts("first"), {}, written.done()).position, 0u);
  CHECK(written.wait().ok());
  CHECK_EQ(contentOf(fixture, file, 0, 100), "first");

  // As a killed process leaves it: the bytes, and zeros to the end.
  std::ifstream raw(fixture.path("topic-0/new"), std::ios::binary);
  std::string all((std::istreambuf_iterator<char>(raw)), {});
  CHECK_EQ(all.size(), kSize + 5000);
  CHECK_EQ(all.substr(0, 5), "first");
  CHECK_EQ(all.find_first_not_of('\0', 5), std::string::npos);

  Outcome closed;
  file->close(closed.done());
  CHECK(closed.wait().ok());
  CHECK_EQ(std::filesystem::file_size(fixture.path("topic-0/new")), 5u);
}

TEST(recycled_space_is_known_once_however_often_it_is_asked_for) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  RecycledFiles& recycled = fixture.store.recycled();
  recycled.keepIn(fixture.directory, 4 * kSize);
  writeFile(fixture, "old", kSize);
  CHECK(fixture.store.remove(fixture.path("old")).ok());
  CHECK_EQ(recycled.keptIn(fixture.directory), kSize);
  // A file on its way to another name, as it lies there meanwhile.
  std::ofstream(fixture.path("recycled-9.free")) << std::string(kSize, 'x');
  recycled.keepIn(fixture.directory, 0);
  CHECK_EQ(recycled.keptIn(fixture.directory), kSize);
  CHECK(exists(fixture.path("recycled-9.free")));
  writeFile(fixture, "another", kSize);
  CHECK(fixture.store.remove(fixture.path("another")).ok());
  CHECK_EQ(recycled.keptIn(fixture.directory), kSize);
}

TEST(recycled_space_is_taken_only_where_it_fits_and_is_wanted) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  writeFile(fixture, "small", kSize);
  writeFile(fixture, "large", 2 * kSize);
  CHECK(fixture.store.remove(fixture.path("small")).ok());
  CHECK(fixture.store.remove(fixture.path("large")).ok());
  fixture.open("unasked");
  fixture.open("tiny", recycling(kSize - 1));
  CHECK_EQ(fixture.store.recycled().stats().taken, 0u);
  fixture.open("middle", recycling(2 * kSize - 1));
  CHECK_EQ(std::filesystem::file_size(fixture.path("middle")), kSize);
  fixture.open("any", recycling());
  CHECK_EQ(std::filesystem::file_size(fixture.path("any")), 2 * kSize);
  // One that is there is opened as it is.
  auto again = fixture.open("middle", recycling());
  CHECK_EQ(again->written(), kSize);
}

TEST(recycled_space_is_never_that_of_a_file_somebody_has) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  writeFile(fixture, "read", kSize);
  auto reader = fixture.open("read");
  CHECK(fixture.store.remove(fixture.path("read")).ok());
  writeFile(fixture, "linked", kSize);
  std::filesystem::create_hard_link(fixture.path("linked"), fixture.path("backup"));
  CHECK(fixture.store.remove(fixture.path("linked")).ok());
  writeFile(fixture, "short", kSize - 1);
  CHECK(fixture.store.remove(fixture.path("short")).ok());
  CHECK_EQ(fixture.store.recycled().stats().files, 0u);
  for (const char* name : {"read", "linked", "short"}) CHECK(!exists(fixture.path(name)));
  CHECK_EQ(contentOf(fixture, reader, kSize - 3, 3), "xxx");
}

TEST(recycled_space_has_a_limit_and_outlives_the_process) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 2 * kSize);
  std::filesystem::create_directories(fixture.path("topic-0/payload"));
  for (const char* name : {"topic-0/a", "topic-0/payload/b", "topic-0/c"}) writeFile(fixture, name, kSize);
  CHECK(fixture.store.remove(fixture.path("topic-0")).ok());
  CHECK(!exists(fixture.path("topic-0")));
  CHECK_EQ(fixture.store.recycled().stats().files, 2u);
  CHECK(fixture.store.remove(fixture.path("never")).ok());

  Store next(StoreFixture::optionsOf(true), fixture.arena);
  next.recycled().keepIn(fixture.directory, kSize);
  CHECK_EQ(next.recycled().stats().bytes, kSize);
  size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fixture.directory)) {
    left += entry.path().extension() == ".free";
  }
  CHECK_EQ(left, 1u);
  IoStatus status;
  CHECK(next.open(fixture.path("new"), recycling(), status));
  CHECK_EQ(next.recycled().stats().taken, 1u);
  next.stop();
}

TEST(prepared_space_is_kept_like_recycled_space) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  RecycledFiles& recycled = fixture.store.recycled();
  recycled.keepIn(fixture.directory, 4 * kSize);
  fixture.store.preparer().prepare(fixture.directory, 3 * kSize - 1, kSize);
  WAIT_UNTIL(recycled.stats().files == 2u);
  fixture.store.preparer().stop();  // it would replace what is taken before it has seen that there is enough
  // The whole of it is on the device, and is nothing but zeros.
  struct stat info {};
  CHECK_EQ(::stat(fixture.path("recycled-0.free").c_str(), &info), 0);
  CHECK_EQ(static_cast<uint64_t>(info.st_size), kSize);
  CHECK(static_cast<uint64_t>(info.st_blocks) * 512 >= kSize);
  auto file = fixture.open("new", recycling());
  CHECK_EQ(recycled.stats().taken, 1u);
  Outcome written;
  file->append(parts("first"), {}, written.done());
  CHECK(written.wait().ok());
  CHECK_EQ(contentOf(fixture, file, 0, 100), "first");
  // What is there after a restart counts.
  Store next(StoreFixture::optionsOf(true), fixture.arena);
  next.recycled().keepIn(fixture.directory, 4 * kSize);
  next.preparer().prepare(fixture.directory, 2 * kSize, kSize);
  WAIT_UNTIL(next.recycled().stats().files == 2u);
  next.stop();
}

TEST(preparing_space_ends_with_the_store_and_leaves_nothing) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  Store store(StoreFixture::optionsOf(true), fixture.arena);
  store.recycled().keepIn(fixture.directory, uint64_t{1} << 40);
  store.preparer().prepare(fixture.directory, uint64_t{1} << 30, uint64_t{1} << 30);
  store.stop();
  store.preparer().prepare(fixture.directory, kSize, kSize);
  CHECK_EQ(store.recycled().stats().files, 0u);
  for (const auto& entry : std::filesystem::directory_iterator(fixture.directory)) CHECK(entry.path().extension() != ".free");
}

TEST(recycled_space_is_taken_again_after_a_lack_of_descriptors) {
  StoreFixture fixture(true);
  if (!canRecycle(fixture)) return;
  RecycledFiles& recycled = fixture.store.recycled();
  recycled.keepIn(fixture.directory, 8 * kSize);
  for (const char* name : {"one", "two"}) {
    writeFile(fixture, name, kSize);
    CHECK(fixture.store.remove(fixture.path(name)).ok());
  }
  CHECK_EQ(recycled.stats().files, 2u);
  rlimit before{};
  CHECK_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  int next = ::dup(STDIN_FILENO);
  ::close(next);
  rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  uint64_t taken = recycled.take(fixture.path("three"), kSize);
  CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_EQ(taken, 0u);
  CHECK_EQ(recycled.take(fixture.path("four"), kSize), kSize);
}

TEST(recycled_space_goes_back_to_a_full_disk) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  writeFile(fixture, "old", kSize);
  CHECK(fixture.store.remove(fixture.path("old")).ok());
  auto file = fixture.open("log");
  faults.fullWrites = 1;
  Outcome written;
  file->append(parts("kept"), {}, written.done());
  CHECK(written.wait().ok());
  CHECK_EQ(fixture.store.recycled().stats().files, 0u);
  CHECK_EQ(contentOf(fixture, file, 0, 10), "kept");
}

TEST(recycled_space_goes_back_for_a_directory) {
  checkMounted(inMount("tmpfs", "size=256m,nr_inodes=8", [](const std::string& mounted) {
    std::string files = mounted + "/files";
    std::filesystem::create_directory(files);
    StoreFixture fixture({}, StoreFixture::kArenaBytes, {}, files);
    RecycledFiles& recycled = fixture.store.recycled();
    recycled.keepIn(files, 8 * kSize);
    std::ofstream(fixture.path("old")) << std::string(kSize, 'x');
    if (!fixture.store.remove(fixture.path("old")).ok() || recycled.stats().files != 1) return 1;
    // Until there is no inode left but that of the file that is kept.
    for (int made = 0; recycled.stats().files == 1; ++made)
      if (made == 8 || !fixture.store.makeDirectory(fixture.path(std::to_string(made))).ok()) return 2;
    return 0;
  }));
}

TEST(recycled_space_goes_back_when_a_copy_cannot_be_flushed_which_is_not_believed_later) {
  StoreFixture fixture(true);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  writeFile(fixture, "kept", kSize);
  CHECK(fixture.store.remove(fixture.path("kept")).ok());
  CHECK_EQ(fixture.store.recycled().stats().files, 1u);
  writeFile(fixture, "from", 5000);
  uint64_t copied = 0;
  CHECK(fixture.store.copy(fixture.path("from"), fixture.path("copy"), 0, kSize, copied).ok());
  faults.fullFlushes = 1;
  CHECK_EQ(fixture.store.publish(fixture.path("from"), fixture.path("copy"), fixture.path("to")).error, ENOSPC);
  CHECK(!exists(fixture.path("to")));
  CHECK_EQ(fixture.store.recycled().stats().files, 0u);
}

TEST(recycled_space_given_back_serves_all_who_found_the_disk_full) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  RecycledFiles& recycled = fixture.store.recycled();
  recycled.keepIn(fixture.directory, 8 * kSize);
  writeFile(fixture, "old", kSize);
  CHECK(fixture.store.remove(fixture.path("old")).ok());
  int calls = 0;
  int error = recycled.withSpace([&] {
    if (++calls > 1) return 0;
    // Somebody else is faster.
    CHECK_EQ(recycled.withSpace([first = true]() mutable { return std::exchange(first, false) ? EDQUOT : 0; }), 0);
    return ENOSPC;
  });
  CHECK_EQ(error, 0);
  CHECK_EQ(calls, 2);
  CHECK_EQ(recycled.withSpace([] { return ENOSPC; }), ENOSPC);
  CHECK_EQ(recycled.withSpace([] { return EIO; }), EIO);
}

TEST(recycled_space_is_never_that_of_a_file_that_was_sent_from_the_page_cache) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  writeFile(fixture, "sent", kSize);
  {
    auto file = fixture.open("sent");
    CHECK(file->handle()->sendFd() >= 0);
    std::weak_ptr<FileHandle> handle = file->handle();
    file.reset();
    WAIT_UNTIL(handle.expired());
  }
  struct stat info {};
  CHECK(::stat(fixture.path("sent").c_str(), &info) == 0);
  CHECK(!FileHandle::isUnused(info.st_dev, info.st_ino));
  CHECK(fixture.store.remove(fixture.path("sent")).ok());
  CHECK_EQ(fixture.store.recycled().stats().files, 0u);
  // The next file with this inode is another one.
  CHECK(FileHandle::isUnused(info.st_dev, info.st_ino));
}

TEST(recycled_space_is_that_of_a_file_whose_holders_are_about_to_let_go) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  // A holder that the machine stops for long is not waited for; not all of them are.
  for (int attempt = 0; attempt < 50 && fixture.store.recycled().stats().files == 0; ++attempt) {
    writeFile(fixture, "closed", kSize);
    auto file = fixture.open("closed");
    CHECK(close(*file).ok());
    std::thread holder([file = std::move(file)]() mutable {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      file.reset();
    });
    CHECK(fixture.store.remove(fixture.path("closed")).ok());
    holder.join();
  }
  CHECK_EQ(fixture.store.recycled().stats().files, 1u);
}

TEST(recycled_space_stays_in_the_innermost_directory) {
  StoreFixture fixture(true, size_t{8} << 20);
  if (!canRecycle(fixture)) return;
  std::filesystem::create_directory(fixture.path("inner"));
  fixture.store.recycled().keepIn(fixture.directory, 8 * kSize);
  fixture.store.recycled().keepIn(fixture.path("inner"), 8 * kSize);
  writeFile(fixture, "inner/file", kSize);
  CHECK(fixture.store.remove(fixture.path("inner/file")).ok());
  CHECK(exists(fixture.path("inner/recycled-0.free")));
  fixture.open("outer", recycling());
  CHECK_EQ(fixture.store.recycled().stats().taken, 0u);
}
