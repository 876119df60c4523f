#include "store/owed_part.h"

#include <atomic>
#include <map>
#include <mutex>
#include <utility>

namespace kafabric {

namespace {

using File = std::pair<dev_t, ino_t>;

struct Registry {
  std::mutex mutex;
  std::map<File, uint64_t> parts;  // of each file that has some
  std::atomic<uint64_t> holes{0};
};

// Never destroyed: replies may be dropped while the process exits.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

}  // namespace

OwedPart::~OwedPart() {
  if (!file_) return;
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  auto found = all.parts.find({file_->device(), file_->inode()});
  if (--found->second == 0) all.parts.erase(found);
}

bool OwedPart::claim(const FileHandle& file, uint64_t holesBefore) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (file_ || all.holes != holesBefore) return false;
  ++all.parts[{file.device(), file.inode()}];
  file_ = &file;
  return true;
}

uint64_t OwedPart::holes() { return registry().holes.load(std::memory_order_relaxed); }

bool OwedPart::mayMakeHoles(dev_t device, ino_t inode) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (all.parts.count({device, inode}) > 0) return false;
  ++all.holes;
  return true;
}

}  // namespace kafabric
