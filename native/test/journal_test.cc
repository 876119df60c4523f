#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "store/descriptor.h"
#include "store/journal.h"
#include "store/journal_region.h"
#include "test/faults.h"
#include "test/journal_scene.h"
#include "test/temporary.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

/** What the writers of a round tell about one of their blocks; in memory that outlives them. */
enum Announced : uint8_t { kNothing, kAdding, kAdded, kRemoving };

constexpr int kWriters = 3;
constexpr size_t kBlocksPerWriter = 20'000;

/** Adds and removes blocks of a file of its own for ever, announcing each step. */
void writeForEver(Arena& arena, Journal& journal, uint32_t file, std::atomic<uint8_t>* announced, uint32_t seed) {
  std::mt19937 random(seed);
  struct Added {
    size_t block;
    uint32_t entry;
    MemoryRef memory;
  };
  std::vector<Added> added;
  for (size_t block = 0; block < kBlocksPerWriter; ++block) {
    MemoryRef memory = arena.allocate(512);
    std::memset(memory.data(), static_cast<int>(block % 255 + 1), 512);
    announced[block] = kAdding;
    uint32_t entry = journal.add(file, block * 512, memory.data(), 512);
    if (entry == Journal::kNone) ::_exit(2);
    announced[block] = kAdded;
    added.push_back({block, entry, std::move(memory)});
    while (added.size() > random() % 40) {
      size_t pick = random() % added.size();
      std::swap(added[pick], added.back());
      announced[added.back().block] = kRemoving;
      journal.remove(added.back().entry);
      added.pop_back();
    }
  }
  for (;;) ::pause();
}

}  // namespace

TEST(journal_counts_and_recycles_entries) {
  Place place("counts");
  Arena arena(kArenaBytes, place.shared);
  Journal journal(arena);
  MemoryRef memory = arena.allocate(100);
  CHECK_EQ(journal.addFile(std::string(Journal::kMaxPathBytes + 1, '/'), {1, 1}), Journal::kNone);
  CHECK_EQ(journal.addFile("", {1, 1}), Journal::kNone);
  for (uint32_t i = 0; i < Journal::kMaxFiles; ++i) CHECK_EQ(journal.addFile("/file", {1, i}), i);
  CHECK_EQ(journal.addFile("/file", {1, 1}), Journal::kNone);
  journal.removeFile(77);
  CHECK_EQ(journal.addFile("/file", {1, 1}), 77u);
  for (uint32_t i = 0; i < Journal::kMaxEntries; ++i) CHECK_EQ(journal.add(1, i, memory.data(), 100), i);
  CHECK_EQ(journal.add(1, 0, memory.data(), 100), Journal::kNone);
  CHECK_EQ(journal.stats().refusals, 4u);
  CHECK_EQ(journal.stats().bytes, Journal::kMaxEntries * uint64_t{100});
  journal.remove(5);
  CHECK_EQ(journal.add(1, 0, memory.data(), 100), 5u);
  CHECK_EQ(journal.stats().entries, uint64_t{Journal::kMaxEntries});
  CHECK(!arena.releaseShared());
  for (uint32_t i = 0; i < Journal::kMaxEntries; ++i) journal.remove(i);
  CHECK_EQ(journal.stats().entries, 0u);
  CHECK_EQ(journal.stats().bytes, 0u);
  CHECK_EQ(journal.stats().peakEntries, uint64_t{Journal::kMaxEntries});
  CHECK(arena.releaseShared());
  CHECK_EQ(journal.add(1, 0, memory.data(), 100), Journal::kNone);
}

TEST(journal_replay_writes_what_was_not_removed) {
  Place place("replay");
  IoStatus status;
  ReplayReport none = replayJournals(place.shared, "", status);
  CHECK(status.ok() && none.files == 0 && none.problems.empty());
  for (int file : {0, 1, 2, 3}) createFile(place.path(file));
  struct stat here {};
  ::stat(place.path(2).c_str(), &here);
  leaveBehind(place, [&](Arena& arena, Journal& journal) {
    addBlocks(place, arena, journal, 20);
    static MemoryRef memory = arena.allocate(3 << 20);  // larger than one step of the copy
    std::memset(memory.data(), 77, memory.size());
    journal.add(addFile(journal, place.path(1)), 5, memory.data(), memory.size());
    journal.remove(journal.add(addFile(journal, place.path(2)), 0, memory.data(), 100));
    journal.add(addFile(journal, place.path(3)), 0, memory.data(), 100);
    journal.add(journal.addFile(place.path(2), {here.st_dev, 1}), 0, memory.data(), 100);  // another file has its name
    ::unlink(place.path(3).c_str());
  });
  ReplayReport report = replayJournals(place.shared, "", status);
  CHECK(status.ok());
  CHECK_EQ(report.problems.size(), 0u);
  CHECK_EQ(report.files, 2u);
  CHECK_EQ(report.skippedFiles, 2u);
  CHECK_EQ(report.entries, 21u);
  CHECK_EQ(report.bytes, 20 * kBlockBytes + (3 << 20));
  checkBlocks(place, 20);
  auto content = contentOf(place.path(1));
  CHECK_EQ(content.size(), (size_t{3} << 20) + 5);
  CHECK(std::all_of(content.begin() + 5, content.end(), [](uint8_t byte) { return byte == 77; }));
  CHECK_EQ(contentOf(place.path(2)).size(), 0u);
  CHECK(!std::filesystem::exists(place.path(3)));
  CHECK_EQ(sharedFilesOf(place.shared).size(), 0u);
}

TEST(journal_replay_keeps_what_is_for_a_file_system_that_is_not_mounted) {
  Place place("unmounted");
  std::string disk = makeDirectory("/dev/shm");
  std::string mount = place.directory + "/disk";
  ::symlink(disk.c_str(), mount.c_str());
  createFile(place.path(0));
  createFile(mount + "/1");
  leaveBehind(place, [&](Arena& arena, Journal& journal) {
    addBlocks(place, arena, journal, 3);
    static MemoryRef memory = arena.allocate(kBlockBytes);
    std::memset(memory.data(), 77, kBlockBytes);
    journal.add(addFile(journal, mount + "/1"), 0, memory.data(), kBlockBytes);
  });
  ::unlink(mount.c_str());
  std::filesystem::create_directory(mount);  // as a start does
  IoStatus status;
  ReplayReport report = replayJournals(place.shared, "", status);
  CHECK(status.ok());
  CHECK_EQ(report.files, 1u);
  CHECK_EQ(report.skippedFiles, 0u);
  CHECK_EQ(report.keptFiles, 1u);
  CHECK(report.kept == sharedFilesOf(place.shared));
  CHECK_EQ(report.kept.size(), 1u);
  checkBlocks(place, 3);
  // What was written then is not written again.
  std::filesystem::resize_file(place.path(0), 0);
  std::filesystem::remove(mount);
  ::symlink(disk.c_str(), mount.c_str());
  report = replayJournals(place.shared, "", status);
  CHECK(status.ok());
  CHECK_EQ(report.files, 1u);
  CHECK_EQ(report.keptFiles, 0u);
  CHECK_EQ(contentOf(place.path(0)).size(), 0u);
  CHECK(contentOf(mount + "/1") == std::vector<uint8_t>(kBlockBytes, 77));
  CHECK_EQ(sharedFilesOf(place.shared).size(), 0u);
  std::filesystem::remove_all(disk);
}

TEST(journal_replay_finds_files_on_a_file_system_that_was_mounted_anew) {
  Place place("remounted");
  FileIdentity now[2];
  for (int i : {0, 1}) {
    createFile(place.path(i));
    Descriptor file(::open(place.path(i).c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    ::fstat(file.fd, &status);
    now[i] = {status.st_dev, status.st_ino, birthOf(file.fd)};
  }
  if (now[0].birthNs == 0) throw kafabric::test::LeftOut("this file system does not say when files were made");
  leaveBehind(place, [&](Arena& arena, Journal& journal) {
    static MemoryRef memory = arena.allocate(kBlockBytes);
    std::memset(memory.data(), 77, kBlockBytes);
    // The second was copied since then, to a disk that is mounted there now, and got the same inode.
    const FileIdentity before[] = {{now[0].device + 1, now[0].inode, now[0].birthNs},
                                   {now[1].device + 1, now[1].inode, now[1].birthNs - 1}};
    for (int i : {0, 1}) journal.add(journal.addFile(place.path(i), before[i]), 0, memory.data(), kBlockBytes);
  });
  IoStatus status;
  ReplayReport report = replayJournals(place.shared, "", status);
  CHECK(status.ok());
  CHECK_EQ(report.files, 1u);
  CHECK_EQ(report.skippedFiles, 0u);
  CHECK_EQ(report.keptFiles, 1u);
  CHECK(contentOf(place.path(0)) == std::vector<uint8_t>(kBlockBytes, 77));
  CHECK_EQ(contentOf(place.path(1)).size(), 0u);
}

TEST(journal_replay_leaves_the_living_alone) {
  Place place("living");
  Arena arena(kArenaBytes, place.shared);
  IoStatus status;
  CHECK_EQ(replayJournals(place.shared, "", status).inUse, 1u);
  CHECK_EQ(sharedFilesOf(place.shared).size(), 1u);
}

TEST(journal_is_replayed_from_where_earlier_processes_had_their_memory) {
  std::string earlier = makeDirectory("/dev/shm");
  Place place("moved");
  createFile(place.path(0));
  SharedPlace now = place.shared;
  place.shared.directory = earlier;
  leaveBehind(place, [&](Arena& arena, Journal& journal) { addBlocks(place, arena, journal, 3); });
  IoStatus status;
  CHECK_EQ(replayJournals(now, "", status).entries, 0u);
  now.others = {"/nowhere", earlier};
  CHECK_EQ(replayJournals(now, "", status).entries, 3u);
  CHECK_EQ(status.error, 0);
  checkBlocks(place, 3);
  CHECK(std::filesystem::is_empty(earlier));
  std::filesystem::remove(earlier);
}

TEST(abandoned_memory_goes_unless_a_replay_needs_it) {
  std::string shm = makeDirectory("/dev/shm");
  Place place("abandoned");
  place.shared.directory = shm;
  createFile(place.path(0));
  leaveBehind(place, [&](Arena& arena, Journal& journal) { addBlocks(place, arena, journal, 3); });
  std::string needed = sharedFilesOf(place.shared).at(0);
  Place other("abandoned-too");
  other.shared.directory = shm;
  leaveBehind(other, [&](Arena&, Journal&) {});
  std::string idle = sharedFilesOf(other.shared).at(0);
  // Killed before the entry that it had counted was there.
  Place begun("abandoned-begun");
  begun.shared.directory = shm;
  leaveBehind(begun, [&](Arena& arena, Journal&) { arena.sharedFile()->beginEntry(); });
  Arena living(kArenaBytes, other.shared);
  // Of a process that died before it had written the header; and what only looks as if it were ours.
  std::string unfinished = shm + "/kafabric-x.1-0123456789abcdef";
  createFile(unfinished);
  for (const char* name : {"/kafabric-x.1-0123", "/kafabric-notes", "/kafabric-x.1-0123456789abcdef.old"}) createFile(shm + name);
  CHECK_EQ(findAbandoned({{}, shm}, std::chrono::hours(1), true).size(), 0u);

  auto find = [&](bool remove) {
    auto found = findAbandoned({{}, shm}, std::chrono::seconds(0), remove);
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.entries < b.entries; });
    return found;
  };
  auto found = find(false);
  CHECK_EQ(found.size(), 4u);
  CHECK(std::none_of(found.begin(), found.end(), [](const auto& one) { return one.removed; }));
  CHECK_EQ(found[3].path, needed);
  CHECK_EQ(found[3].entries, 3u);
  CHECK_EQ(found[3].file, place.path(0));
  CHECK(found[3].bytes >= 3 * kBlockBytes);
  CHECK(found[3].bytes <= SharedFile::kDataOffset + kArenaBytes);
  found = find(true);
  CHECK(found[0].removed && found[1].removed && found[2].removed && !found[3].removed);
  CHECK(!std::filesystem::exists(idle) && !std::filesystem::exists(unfinished));
  CHECK_EQ(sharedFilesOf(other.shared).size(), 1u);
  CHECK(std::filesystem::exists(shm + "/kafabric-notes"));
  CHECK_EQ(find(true).size(), 1u);

  IoStatus status;
  CHECK_EQ(replayJournals(place.shared, "", status).entries, 3u);
  checkBlocks(place, 3);
  std::filesystem::remove_all(shm);
}

TEST(journal_replay_fails_on_a_full_disk_and_can_be_repeated) {
  Place place("full");
  createFile(place.path(0));
  leaveBehind(place, [&](Arena& arena, Journal& journal) { addBlocks(place, arena, journal, 20); });
  FaultScope scope;
  IoStatus status;
  faults.writableBytes = 55'555;
  faults.writeError = ENOSPC;
  ReplayReport report = replayJournals(place.shared, "", status);
  CHECK_EQ(status.error, ENOSPC);
  CHECK_EQ(status.message, "cannot write what was acknowledged to " + place.path(0) + ": No space left on device");
  CHECK_EQ(report.entries, 0u);
  faults.reset();
  faults.flushError = EIO;
  replayJournals(place.shared, "", status);
  CHECK_EQ(status.error, EIO);
  CHECK_EQ(sharedFilesOf(place.shared).size(), 1u);
  faults.reset();
  faults.maxWriteBytes = 777;
  faults.interruptions = 3;
  report = replayJournals(place.shared, "", status);
  CHECK(status.ok());
  CHECK_EQ(report.entries, 20u);
  checkBlocks(place, 20);
}

TEST(journal_replay_can_be_killed_and_run_again) {
  Place place("again");
  createFile(place.path(0));
  leaveBehind(place, [&](Arena& arena, Journal& journal) { addBlocks(place, arena, journal, 20); });
  for (int round = 0; round < 10; ++round) {
    pid_t child = ::fork();
    if (child == 0) {
      // Dies after some writes, and in the last rounds after all of them, before the memory is removed.
      faults.maxWriteBytes = 1000;
      faults.flushDelayMs = 60'000;
      IoStatus status;
      replayJournals(place.shared, "", status);
      ::_exit(1);
    }
    size_t expected = std::min<size_t>(static_cast<size_t>(round) * 25'000, 20 * kBlockBytes);
    WAIT_UNTIL(contentOf(place.path(0)).size() >= expected);
    ::kill(child, SIGKILL);
    waitKilled(child);
    CHECK_EQ(sharedFilesOf(place.shared).size(), 1u);
  }
  IoStatus status;
  CHECK_EQ(replayJournals(place.shared, "", status).entries, 20u);
  CHECK(status.ok());
  checkBlocks(place, 20);
}

TEST(journal_keeps_what_was_announced_through_kills) {
  std::mt19937 random(11);
  size_t bytes = kWriters * kBlocksPerWriter;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* announced = static_cast<std::atomic<uint8_t>*>(memory);
  uint64_t recovered = 0;
  for (int round = 0; round < 50; ++round) {
    Place place("kills");
    std::memset(memory, 0, bytes);
    for (int writer = 0; writer < kWriters; ++writer) createFile(place.path(writer));
    uint32_t seed = random();
    pid_t child = ::fork();
    if (child == 0) {
      Arena arena(kArenaBytes, place.shared);
      if (!arena.shared()) ::_exit(1);
      Journal journal(arena);
      std::vector<std::thread> writers;
      for (int writer = 0; writer < kWriters; ++writer) {
        uint32_t file = addFile(journal, place.path(writer));
        auto* own = announced + static_cast<size_t>(writer) * kBlocksPerWriter;
        uint32_t ownSeed = seed + static_cast<uint32_t>(writer);
        writers.emplace_back([&, file, own, ownSeed] { writeForEver(arena, journal, file, own, ownSeed); });
      }
      for (auto& writer : writers) writer.join();
    }
    // At a moment that the writers' progress decides.
    size_t until = random() % 2000;
    WAIT_UNTIL(announced[until] != kNothing);
    ::kill(child, SIGKILL);
    waitKilled(child);
    IoStatus status;
    ReplayReport report = replayJournals(place.shared, "", status);
    CHECK(status.ok());
    CHECK_EQ(report.problems.size(), 0u);
    recovered += report.entries;
    for (int writer = 0; writer < kWriters; ++writer) {
      auto content = contentOf(place.path(writer));
      for (size_t block = 0; block < kBlocksPerWriter; ++block) {
        uint8_t said = announced[static_cast<size_t>(writer) * kBlocksPerWriter + block];
        bool there = content.size() >= (block + 1) * 512;
        auto expected = static_cast<uint8_t>(block % 255 + 1);
        // A removed entry is not written: its bytes, which the arena has given to others, would be wrong.
        for (size_t at = block * 512; there && at < (block + 1) * 512; ++at) {
          CHECK(content[at] == expected || (content[at] == 0 && said != kAdded));
        }
        CHECK(there || said != kAdded);
        CHECK(said != kNothing || !there || content[block * 512] == 0);
      }
    }
  }
  CHECK(recovered > 0);
  ::munmap(memory, bytes);
}
