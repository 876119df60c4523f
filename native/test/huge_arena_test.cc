#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "test/mount_fixture.h"
#include "test/test.h"

using kafabric::Arena;
using kafabric::MemoryRef;
using kafabric::SharedFile;
using kafabric::sharedFilesOf;
using kafabric::test::checkMounted;
using kafabric::test::inMount;
using kafabric::test::kNotMounted;

namespace {

constexpr size_t kHuge = size_t{2} << 20;
const char* const kPoolFile = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/** Bytes of the mappings of a file that smaps counts under `key`. */
size_t mappedBytes(const std::string& path, const std::string& key) {
  std::ifstream smaps("/proc/self/smaps");
  size_t sum = 0;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    bool header = line.find('-') < line.find(' ') && line.find(':') > line.find(' ');
    if (header) inside = line.find(path) != std::string::npos;
    else if (inside && line.compare(0, key.size() + 1, key + ":") == 0) sum += std::stoul(line.substr(key.size() + 1)) << 10;
  }
  return sum;
}

/** Takes and fills all that an arena has, and reads it again. */
bool holdsAll(Arena& arena) {
  std::vector<MemoryRef> held;
  while (MemoryRef memory = arena.allocate(64 << 10)) {
    std::memset(memory.data(), static_cast<int>(held.size()), memory.size());
    held.push_back(std::move(memory));
  }
  for (size_t i = 0; i < held.size(); ++i) {
    for (size_t at = 0; at < held[i].size(); at += 1024) {
      if (held[i].data()[at] != static_cast<uint8_t>(i)) return false;
    }
  }
  return held.size() * (64 << 10) == arena.capacity();
}

/** Huge pages of the system's pool, added for a test. */
class Pool {
 public:
  explicit Pool(size_t pages) : before_(count()) {
    set(before_ + pages);
    enough_ = count() >= before_ + pages;
  }
  ~Pool() { set(before_); }
  bool enough() const { return enough_; }

 private:
  static size_t count() {
    size_t pages = 0;
    std::ifstream(kPoolFile) >> pages;
    return pages;
  }
  static void set(size_t pages) { std::ofstream(kPoolFile) << pages; }

  size_t before_;
  bool enough_ = false;
};

/** 0 when all of an arena's memory came in huge pages, as it is used and in the background. */
int checkHuge(const std::string& directory) {
  Arena arena(64 << 20, {"huge", directory});
  if (!arena.shared()) return 1;
  arena.startTouching();
  WAIT_UNTIL(arena.stats().touched == Arena::kReadyBytes);
  Arena::Stats rest = arena.stats();
  if (rest.backed != Arena::kReadyBytes || rest.huge != rest.backed) return 2;
  if (mappedBytes(arena.sharedFile()->path(), "ShmemPmdMapped") != rest.huge) return 3;
  if (mappedBytes(arena.sharedFile()->path(), "Rss") > rest.huge + kHuge) return 4;
  arena.stopTouching();
  if (!arena.allocate(20 << 20)) return 5;
  Arena::Stats grown = arena.stats();
  if (grown.huge != grown.backed || !holdsAll(arena)) return 6;
  if (arena.stats().huge != arena.capacity()) return 7;
  return mappedBytes(arena.sharedFile()->path(), "ShmemPmdMapped") == arena.capacity() ? 0 : 8;
}

}  // namespace

TEST(huge_arena_pages_come_from_a_tmpfs_that_gives_them) {
  for (const char* options : {"size=128m,huge=advise", "size=128m,huge=within_size", "size=128m,huge=always"}) {
    int code = inMount("tmpfs", options, checkHuge);
    checkMounted(code);
  }
}

TEST(huge_arena_of_any_size_is_usable_to_its_end) {
  int code = inMount("tmpfs", "size=128m,huge=advise", [](const std::string& directory) {
    for (size_t bytes : {size_t{64} << 10, size_t{1} << 20, kHuge + (64 << 10), size_t{21} << 20}) {
      Arena arena(bytes, {"odd", directory});
      if (!arena.shared() || !holdsAll(arena)) return 1;
      if (arena.stats().backed != arena.capacity()) return 2;
    }
    return 0;
  });
  checkMounted(code);
}

TEST(huge_arena_pages_are_not_needed) {
  int code = inMount("tmpfs", "size=128m,huge=never", [](const std::string& directory) {
    Arena arena(32 << 20, {"small", directory});
    if (!arena.shared() || !holdsAll(arena)) return 1;
    return arena.stats().huge == 0 ? 0 : 2;
  });
  checkMounted(code);
}

TEST(huge_arena_lies_on_a_hugetlbfs_that_has_pages_for_all_of_it) {
  constexpr size_t kBytes = (size_t{9} << 20) + (64 << 10);
  constexpr size_t kPages = (SharedFile::kDataOffset + kBytes + kHuge - 1) / kHuge;
  Pool pool(kPages);
  int code = inMount("hugetlbfs", "pagesize=2M", [&](const std::string& directory) {
    if (!pool.enough()) return kNotMounted;
    std::string path;
    {
      Arena arena(kBytes, {"reserved", directory});
      if (!arena.shared()) return 1;
      path = arena.sharedFile()->path();
      if (!holdsAll(arena) || arena.stats().huge != arena.capacity()) return 2;
      if (arena.sharedFile()->open() != -ENOTSUP) return 3;
      Arena second(size_t{64} << 30, {"second", directory});
      if (second.shared() || second.sharedReason().find("huge pages are needed") == std::string::npos) return 4;
      if (sharedFilesOf({"second", directory}).size() != 0) return 5;
    }
    return sharedFilesOf({"reserved", directory}).empty() ? 0 : 6;
  });
  checkMounted(code);
}
