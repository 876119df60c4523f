#include <sys/stat.h>

#include <cstring>
#include <functional>
#include <string>

#include "store/journal_region.h"
#include "test/journal_scene.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

/** Leaves one entry behind and lets `damage` change what is in the shared memory. */
template <typename Damage>
ReplayReport replayDamaged(const char* test, Damage damage) {
  Place place(test);
  createFile(place.path(0));
  leaveBehind(place, [&](Arena& arena, Journal& journal) {
    addBlocks(place, arena, journal, 1);
    damage(*reinterpret_cast<SharedHeader*>(arena.sharedFile()->journal() - SharedFile::kJournalOffset),
           *reinterpret_cast<JournalRegion*>(arena.sharedFile()->journal()));
  });
  IoStatus status;
  ReplayReport report = replayJournals(place.shared, "", status);
  CHECK(status.ok());
  CHECK_EQ(contentOf(place.path(0)).size(), report.bytes);
  CHECK_EQ(sharedFilesOf(place.shared).size(), report.problems.size());
  return report;
}

std::string problemOf(const char* test, std::function<void(SharedHeader&, JournalRegion&)> damage) {
  ReplayReport report = replayDamaged(test, damage);
  CHECK_EQ(report.problems.size(), 1u);
  CHECK_EQ(report.entries, 0u);
  return report.problems[0].substr(report.problems[0].find(": ") + 2);
}

}  // namespace

TEST(journal_replay_refuses_what_is_damaged) {
  CHECK_EQ(replayDamaged("sound", [](auto&, auto&) {}).entries, 1u);
  CHECK_EQ(replayDamaged("unfinished", [](SharedHeader& header, auto&) { header.magic = 0; }).entries, 0u);
  CHECK_EQ(problemOf("magic", [](auto& header, auto&) { header.magic = 1; }),
           "it does not begin as shared memory of this program does");
  CHECK_EQ(problemOf("version", [](auto& header, auto&) { header.version = 9; }),
           "it is of another version of Kafabric (its layout is 9), which writes what is in it when it is started once more");
  CHECK_EQ(problemOf("sizes", [](auto& header, auto&) { header.dataBytes += 4096; }), "its sizes do not match");
  CHECK_EQ(problemOf("journal", [](auto& header, auto&) { header.journalOffset = 1; }), "its sizes do not match");
  CHECK_EQ(problemOf("state", [](auto&, auto& region) { region.entries[70].state = 7; }), "entry 70 has state 7");
  CHECK_EQ(problemOf("offset", [](auto&, auto& region) { region.entries[0].offset = UINT64_MAX; }),
           "entry 0 is not inside the memory");
  CHECK_EQ(problemOf("length", [](auto&, auto& region) { region.entries[0].length = kArenaBytes + 1; }),
           "entry 0 is not inside the memory");
  CHECK_EQ(problemOf("position", [](auto&, auto& region) { region.entries[0].position = INT64_MAX; }),
           "entry 0 has no possible position");
  CHECK_EQ(problemOf("file", [](auto&, auto& region) { region.entries[0].file = Journal::kMaxFiles; }),
           "entry 0 names file 16384");
  CHECK_EQ(problemOf("slot", [](auto&, auto& region) { region.files[0].state = 0; }),
           "entry 0 belongs to file 0, which is not valid");
  CHECK_EQ(problemOf("path", [](auto&, auto& region) { std::memset(region.files[0].path, '/', sizeof(region.files[0].path)); }),
           "entry 0 belongs to file 0, which is not valid");
  CHECK_EQ(problemOf("relative", [](auto&, auto& region) { region.files[0].path[0] = 'x'; }),
           "entry 0 belongs to file 0, which is not valid");
}

TEST(journal_replay_refuses_what_others_may_have_written) {
  Place place("others");
  createFile(place.path(0));
  leaveBehind(place, [&](Arena& arena, Journal& journal) {
    addBlocks(place, arena, journal, 1);
    ::chmod(arena.sharedFile()->path().c_str(), 0620);
  });
  IoStatus status;
  CHECK_EQ(replayJournals(place.shared, "", status).problems.size(), 1u);
  CHECK_EQ(contentOf(place.path(0)).size(), 0u);
}
