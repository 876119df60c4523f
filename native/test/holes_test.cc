// Giving back the space of parts of a file, by holes or by a copy with less, and copies of files with holes.
#include "store/holes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <random>

#include "store/aligned_memory.h"
#include "store/descriptor.h"
#include "store/file_copy.h"
#include "store/owed_part.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr uint64_t kBlock = 4096;
/** What a file system may count beside the content: where the pieces of a file are takes blocks, too. */
constexpr uint64_t kMapBytes = 4 * kBlock;

std::string patternOf(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(1 + (i * 31 + i / 4093) % 255);
  return text;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(::fdatasync(fd), 0);  // or its blocks are not counted yet
  ::close(fd);
}

std::string without(std::string text, const std::vector<FileRange>& ranges) {
  for (const FileRange& range : ranges) text.replace(range.position, range.length, range.length, '\0');
  return text;
}

/** Blocks here and there, of whole files and of their ends. */
std::vector<FileRange> randomRanges(std::mt19937& random, uint64_t size) {
  std::vector<FileRange> ranges;
  for (uint64_t at = random() % 5 * kBlock; at < size;) {
    uint64_t length = std::min((1 + random() % 40) * kBlock, size - at);
    ranges.push_back({at, length});
    at += length + random() % 30 * kBlock;
  }
  return ranges;
}

uint64_t heldBy(const std::string& path) {
  struct stat info {};
  CHECK_EQ(::stat(path.c_str(), &info), 0);
  return std::min<uint64_t>(static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(info.st_blocks) * 512);
}

IoStatus punchHoles(const std::string& path, const std::vector<FileRange>& ranges, Punched& punched) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  CHECK(file.fd >= 0);
  return kafabric::punchHoles(file.fd, path, ranges, punched);
}

/** How it is done where the file system has no holes. */
void refuseHoles() {
  faults.allocatableBytes = 0;
  faults.allocateError = EOPNOTSUPP;
}

}  // namespace

TEST(holes_give_back_what_is_named_and_leave_the_rest) {
  StoreFixture fixture(true);
  std::mt19937 random(7);
  for (bool hasHoles : {true, false}) {
    for (size_t bytes : {size_t{4096}, size_t{5000}, (size_t{1} << 20) + 1, (size_t{3} << 20) - 512}) {
      std::string path = fixture.path("file");
      std::string text = patternOf(bytes);
      write(path, text);
      timeval old[2] = {{1'000'000, 0}, {1'234'567, 0}};
      CHECK_EQ(::utimes(path.c_str(), old), 0);
      std::vector<FileRange> ranges = randomRanges(random, bytes);
      uint64_t dead = 0;
      for (const FileRange& range : ranges) dead += range.length;
      if (!hasHoles) refuseHoles();
      for (int again = 0; again < 2; ++again) {
        Punched punched;
        CHECK_EQ(punchHoles(path, ranges, punched).message, "");
        CHECK_EQ(punched.replaced, !hasHoles && !ranges.empty());
        CHECK(content(path) == without(text, ranges));
        CHECK_EQ(punched.held, heldBy(path));
        CHECK(punched.held <= roundUp(bytes, kBlock) - dead / kBlock * kBlock + kMapBytes);
      }
      faults.reset();
      struct stat info {};
      CHECK_EQ(::stat(path.c_str(), &info), 0);
      CHECK_EQ(static_cast<size_t>(info.st_size), bytes);
      CHECK_EQ(info.st_mtime, 1'234'567);
      CHECK(!std::filesystem::exists(path + ".moving"));
    }
  }
}

TEST(holes_keep_what_is_open_readable) {
  StoreFixture fixture(true);
  std::string text = patternOf(1 << 20);
  write(fixture.path(), text);
  std::vector<FileRange> ranges{{8 * kBlock, 100 * kBlock}};
  for (bool hasHoles : {true, false}) {
    auto file = fixture.open();
    if (!hasHoles) refuseHoles();
    Punched punched;
    CHECK(fixture.store.punch(fixture.path(), ranges, punched).ok());
    faults.reset();
    CHECK(fixture.textAt(file, 0, 8 * kBlock) == text.substr(0, 8 * kBlock));
    CHECK(fixture.textAt(file, 108 * kBlock, 5000) == text.substr(108 * kBlock, 5000));
    CHECK(close(*file).ok());
  }
}

TEST(holes_are_not_made_while_parts_wait_to_be_sent) {
  StoreFixture fixture(true);
  std::string text = patternOf(10 * kBlock);
  write(fixture.path(), text);
  auto handle = FileHandle::adopt(::open(fixture.path().c_str(), O_RDONLY | O_CLOEXEC), fixture.path());
  Punched punched;
  {
    OwedPart part;
    CHECK(part.claim(*handle, OwedPart::holes()));
    CHECK_EQ(fixture.store.punch(fixture.path(), {{0, kBlock}}, punched).error, EBUSY);
    CHECK(heldBy(fixture.path()) >= 10 * kBlock);
  }
  CHECK(fixture.store.punch(fixture.path(), {{0, kBlock}}, punched).ok());
}

TEST(holes_are_refused_where_there_is_nothing_and_failures_are_told) {
  StoreFixture fixture(true);
  std::string path = fixture.path("file");
  std::string text = patternOf(10 * kBlock);
  write(path, text);
  Punched punched;
  CHECK_EQ(fixture.store.punch(fixture.path("none"), {}, punched).error, ENOENT);
  for (const std::vector<FileRange>& ranges : std::vector<std::vector<FileRange>>{
           {{0, 11 * kBlock}}, {{UINT64_MAX - 100, 200}}, {{11 * kBlock, 0}}, {{kBlock, kBlock}, {kBlock, kBlock}}, {{kBlock, UINT64_MAX}}}) {
    CHECK_EQ(punchHoles(path, ranges, punched).error, EINVAL);
  }
  std::vector<FileRange> ranges{{kBlock, kBlock}};
  faults.allocateError = EIO;
  CHECK_EQ(punchHoles(path, ranges, punched).error, EIO);
  faults.reset();
  CHECK(content(path) == text);
  refuseHoles();
  faults.writeError = ENOSPC;
  faults.writableBytes = 2 * kBlock;
  CHECK_EQ(punchHoles(path, ranges, punched).error, ENOSPC);
  faults.writeError = 0;
  faults.flushError = EIO;
  CHECK_EQ(punchHoles(path, ranges, punched).error, EIO);
  faults.reset();
  CHECK(content(path) == text);
  CHECK(!std::filesystem::exists(path + ".moving"));
  faults.flushError = EIO;
  CHECK_EQ(punchHoles(path, ranges, punched).error, EIO);
  faults.reset();
  CHECK(content(path) == without(text, ranges) || content(path) == text);
}

TEST(holes_leave_the_rest_whole_when_the_process_is_killed) {
  StoreFixture fixture(true);
  std::mt19937 random(11);
  constexpr size_t kBytes = 2 << 20;
  std::string text = patternOf(kBytes);
  for (int round = 0; round < 12; ++round) {
    std::string path = fixture.path("file");
    write(path, text);
    std::vector<FileRange> ranges = randomRanges(random, kBytes);
    int ends[2];
    CHECK_EQ(::pipe(ends), 0);
    pid_t child = ::fork();
    if (child == 0) {
      if (round % 2 == 1) refuseHoles();
      for (size_t count = 0;; count = count % ranges.size() + 1) {
        Punched punched;
        // More and more of them, over and over.
        punchHoles(path, {ranges.begin(), ranges.begin() + static_cast<std::ptrdiff_t>(count)}, punched);
        if (::write(ends[1], "", 1) != 1) ::_exit(1);
      }
    }
    ::close(ends[1]);
    char byte = 0;
    for (size_t calls = 1 + random() % ranges.size(); calls > 0; --calls) CHECK_EQ(::read(ends[0], &byte, 1), 1);
    ::usleep(random() % 500);
    CHECK_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    CHECK_EQ(::waitpid(child, &status, 0), child);
    ::close(ends[0]);
    CHECK(WIFSIGNALED(status));
    std::string found = content(path);
    CHECK_EQ(found.size(), kBytes);
    CHECK(without(found, ranges) == without(text, ranges));
  }
}

TEST(file_copy_keeps_holes) {
  StoreFixture fixture(true);
  std::string from = fixture.path("from");
  for (bool direct : {false, true}) {
    for (size_t bytes : {(size_t{4} << 20) + 100, size_t{4} << 20}) {
      std::string text = patternOf(bytes);
      write(from, text);
      std::vector<FileRange> ranges{{0, 3 * kBlock}, {1 << 20, 2 << 20}, {(4 << 20) - 2 * kBlock, bytes - (4 << 20) + 2 * kBlock}};
      Punched punched;
      CHECK(punchHoles(from, ranges, punched).ok());
      std::string copy = fixture.path("copy");
      std::string to = fixture.path("to");
      std::filesystem::remove(to);
      uint64_t at = 0;
      constexpr uint64_t kRange = (uint64_t{1} << 20) + kBlock;
      for (uint64_t copied = kRange; copied == kRange; at += copied)
        CHECK(copyRange(from, copy, at, kRange, direct, copied).ok());
      CHECK_EQ(at, bytes);
      CHECK(publishCopy(from, copy, to).ok());
      CHECK(content(to) == without(text, ranges));
      CHECK(heldBy(to) <= heldBy(from) + kMapBytes);
    }
  }
}
