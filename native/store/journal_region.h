// The layout of the journal in shared memory; all of it is zeros at first.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "store/journal.h"

namespace kafabric {

/** `state` is set last and cleared first, so that what is half written when the process dies is not live. */
enum JournalState : uint32_t { kJournalFree = 0, kJournalLive = 1 };

struct JournalEntry {
  std::atomic<uint32_t> state;
  uint32_t file;      // index of a JournalFile
  uint64_t position;  // in the file
  uint64_t offset;    // from the start of the arena's data
  uint64_t length;
};

struct JournalFile {
  std::atomic<uint32_t> state;
  uint32_t pathBytes;
  FileIdentity identity;
  char path[Journal::kMaxPathBytes + 1];  // ends with a zero
};

struct JournalRegion {
  JournalEntry entries[Journal::kMaxEntries];
  JournalFile files[Journal::kMaxFiles];
};

static_assert(sizeof(JournalEntry) == 32);
static_assert(sizeof(JournalFile) == 512);
static_assert(sizeof(JournalRegion) <= SharedFile::kJournalBytes);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace kafabric
