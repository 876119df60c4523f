#pragma once

/** What a killed process leaves of a journal, and the files that it is for. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "store/io.h"
#include "store/journal.h"
#include "test/temporary.h"
#include "test/test.h"

namespace kafabric::test {

inline constexpr size_t kBlockBytes = 10'000;
inline constexpr size_t kArenaBytes = size_t{4} << 20;

/** A directory for files, and a name for shared memory; both are gone in the end. */
struct Place {
  std::string directory = makeDirectory();
  SharedPlace shared;
  explicit Place(const char* test) : shared{std::string("test-") + test + "-" + std::to_string(::getpid())} {}
  ~Place() {
    std::filesystem::remove_all(directory);
    for (const auto& path : sharedFilesOf(shared)) ::unlink(path.c_str());
  }
  std::string path(int file) const { return directory + "/" + std::to_string(file); }
};

inline void createFile(const std::string& path) { ::close(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); }

inline std::vector<uint8_t> contentOf(const std::string& path) {
  std::vector<uint8_t> content(std::filesystem::exists(path) ? std::filesystem::file_size(path) : 0);
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  size_t got = 0;
  readFully(fd, content.data(), content.size(), 0, got);
  ::close(fd);
  return content;
}

inline uint32_t addFile(Journal& journal, const std::string& path) {
  struct stat status;
  ::stat(path.c_str(), &status);
  return journal.addFile(path, {status.st_dev, status.st_ino});
}

inline void waitKilled(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/** What `body(arena, journal)` leaves behind when the process is killed. */
template <typename Body>
void leaveBehind(const Place& place, Body body) {
  pid_t child = ::fork();
  if (child == 0) {
    Arena arena(kArenaBytes, place.shared);
    if (!arena.shared()) ::_exit(1);
    Journal journal(arena);
    body(arena, journal);
    ::raise(SIGKILL);
  }
  waitKilled(child);
}

/** Adds `blocks` entries to file 0, each filled with its number plus one. */
inline void addBlocks(const Place& place, Arena& arena, Journal& journal, int blocks) {
  uint32_t file = addFile(journal, place.path(0));
  static std::vector<MemoryRef> held;
  for (int i = blocks - 1; i >= 0; --i) {
    held.push_back(arena.allocate(kBlockBytes));
    std::memset(held.back().data(), i + 1, kBlockBytes);
    journal.add(file, static_cast<uint64_t>(i) * kBlockBytes, held.back().data(), kBlockBytes);
  }
}

inline void checkBlocks(const Place& place, int blocks) {
  auto content = contentOf(place.path(0));
  CHECK_EQ(content.size(), blocks * kBlockBytes);
  for (size_t at = 0; at < content.size(); ++at) CHECK_EQ(content[at], at / kBlockBytes + 1);
}

}  // namespace kafabric::test
