// Copies of files in other directories, and how they get their names.
#include "store/file_copy.h"

#include <sys/stat.h>
#include <sys/time.h>

#include <cerrno>
#include <fstream>

#include "store/aligned_memory.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

std::string contentOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string patternOf(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 31 + i / 4093);
  return text;
}

void write(const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

}  // namespace

TEST(file_copy_copies_files_of_any_length_in_ranges) {
  StoreFixture fixture(true);
  for (bool direct : {false, true}) {
    for (size_t bytes : {size_t{0}, size_t{1}, size_t{4096}, size_t{5000}, (size_t{1} << 20) + 1, (size_t{3} << 20) - 512}) {
      std::string from = fixture.path("from");
      std::string to = fixture.path("to");
      std::string content = patternOf(bytes);
      write(from, content);
      std::filesystem::remove(to);
      uint64_t at = 0;
      for (;;) {
        uint64_t copied = 0;
        constexpr uint64_t kRange = (uint64_t{1} << 20) + 4096;
        CHECK(copyRange(from, to, at, kRange, direct, copied).ok());
        at += copied;
        if (copied < kRange) break;
      }
      CHECK_EQ(at, bytes);
      CHECK(contentOf(to) == content);
    }
  }
}

TEST(file_copy_keeps_the_time_of_change_and_replaces_nothing) {
  StoreFixture fixture(true);
  std::string from = fixture.path("from");
  std::string copy = fixture.path("copy");
  std::string to = fixture.path("to");
  write(from, patternOf(10'000));
  timeval old[2] = {{1'000'000, 0}, {1'234'567, 0}};
  CHECK_EQ(::utimes(from.c_str(), old), 0);
  uint64_t copied = 0;
  CHECK(copyRange(from, copy, 0, 1 << 20, true, copied).ok());
  CHECK(publishCopy(from, copy, to).ok());
  struct stat info {};
  CHECK_EQ(::stat(to.c_str(), &info), 0);
  CHECK_EQ(info.st_mtime, 1'234'567);
  CHECK(!std::filesystem::exists(copy));
  CHECK(contentOf(to) == contentOf(from));

  CHECK(copyRange(from, copy, 0, 1 << 20, true, copied).ok());
  CHECK_EQ(publishCopy(from, copy, to).error, EEXIST);
}

TEST(file_copy_does_not_name_a_copy_that_is_cut_off_or_cannot_be_flushed) {
  StoreFixture fixture(true);
  std::string from = fixture.path("from");
  std::string copy = fixture.path("copy");
  std::string to = fixture.path("to");
  write(from, patternOf(10'000));
  uint64_t copied = 0;
  CHECK(copyRange(from, copy, 0, 8192, true, copied).ok());
  CHECK_EQ(publishCopy(from, copy, to).error, EIO);
  CHECK(copyRange(from, copy, 8192, 8192, true, copied).ok());
  CHECK_EQ(copied, 10'000u - 8192u);
  faults.flushError = EIO;
  CHECK_EQ(publishCopy(from, copy, to).error, EIO);
  CHECK(!std::filesystem::exists(to));
  faults.reset();
  CHECK(publishCopy(from, copy, to).ok());
  CHECK(contentOf(to) == patternOf(10'000));
}

TEST(file_copy_reports_a_full_disk_and_a_failing_one) {
  StoreFixture fixture(true);
  std::string from = fixture.path("from");
  write(from, patternOf(3 << 20));
  uint64_t copied = 0;
  faults.writeError = ENOSPC;
  faults.writableBytes = 1 << 20;
  CHECK_EQ(copyRange(from, fixture.path("to"), 0, 3 << 20, true, copied).error, ENOSPC);
  faults.reset();
  faults.readError = EIO;
  CHECK_EQ(copyRange(from, fixture.path("to"), 0, 3 << 20, true, copied).error, EIO);
  faults.reset();
  CHECK_EQ(copyRange(fixture.path("none"), fixture.path("to"), 0, 1, true, copied).error, ENOENT);
}
