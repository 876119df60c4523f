#include <cerrno>

#include "fabric/remote_memory.h"
#include "fabric/transport.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::fabric;

namespace {

constexpr int64_t kNow = 1'000'000;
constexpr uint64_t kAttachment = 77;
constexpr uint64_t kKey = 0xfedcba9876543210;

struct Attached {
  RemoteMemory memory{kAttachment};
  std::vector<Range> ranges;
  uint64_t sequence = 0;

  Attached() {
    CHECK_EQ(memory.publish({1, 0x1000, kKey, 100, kPeerReads, 0}, kNow).message, "");
    CHECK_EQ(memory.publish({2, UINT64_MAX - 100, 5, 100, kPeerReads | kPeerWrites, kNow + 10}, kNow).message, "");
  }
  TransferOrder order(std::vector<OrderedPart> parts, Direction direction = Direction::kRead) {
    return {kAttachment, ++sequence, kNow + 1, direction, std::move(parts)};
  }
  int error(const TransferOrder& order, int64_t now = kNow) { return memory.resolve(order, now, ranges).error; }
};

}  // namespace

TEST(fabric_resolves_parts_of_published_regions) {
  Attached attached;
  CHECK_EQ(attached.error(attached.order({{1, kKey, 10, 90}, {2, 5, 0, 0}, {2, 5, 100, 0}, {1, kKey, 0, 1}})), 0);
  CHECK_EQ(attached.ranges.size(), 4u);
  CHECK_EQ(attached.ranges[0].address, 0x100au);
  CHECK_EQ(attached.ranges[0].length, 90u);
  CHECK_EQ(attached.ranges[0].key, kKey);
  CHECK_EQ(attached.ranges[2].address, UINT64_MAX);
  CHECK_EQ(attached.error(attached.order({{2, 5, 0, 100}}, Direction::kWrite)), 0);
}

TEST(fabric_refuses_orders_that_leave_their_region) {
  Attached attached;
  for (auto [offset, length] : {std::pair<uint64_t, uint64_t>{0, 101}, {100, 1}, {101, 0}, {UINT64_MAX, 2}, {1, UINT64_MAX}, {99, 2}})
    CHECK_EQ(attached.error(attached.order({{1, kKey, 0, 1}, {1, kKey, offset, length}})), ERANGE);
  CHECK(attached.ranges.empty());
}

TEST(fabric_refuses_orders_with_wrong_keys_regions_and_rights) {
  Attached attached;
  CHECK_EQ(attached.error(attached.order({{1, kKey + 1, 0, 1}})), EKEYREJECTED);
  CHECK_EQ(attached.error(attached.order({{3, kKey, 0, 1}})), ENOENT);
  CHECK_EQ(attached.error(attached.order({{1, kKey, 0, 1}}, Direction::kWrite)), EACCES);
  CHECK_EQ(attached.error(attached.order({})), EINVAL);
  CHECK_EQ(attached.error(attached.order(std::vector<OrderedPart>(RemoteMemory::kMaxParts + 1, {1, kKey, 0, 1}))), E2BIG);
  TransferOrder other = attached.order({{1, kKey, 0, 1}});
  other.attachment = kAttachment + 1;
  CHECK_EQ(attached.error(other), EPERM);
  CHECK(attached.memory.withdraw(1));
  CHECK(!attached.memory.withdraw(1));
  CHECK_EQ(attached.error(attached.order({{1, kKey, 0, 1}})), ENOENT);
}

TEST(fabric_refuses_replayed_and_expired_orders) {
  Attached attached;
  TransferOrder order = attached.order({{1, kKey, 0, 1}});
  CHECK_EQ(attached.error(order, kNow + 1), ETIME);
  CHECK_EQ(attached.error(order), 0);
  CHECK_EQ(attached.error(order), EALREADY);
  CHECK_EQ(attached.error(attached.order({{2, 5, 0, 1}}), kNow), 0);
  TransferOrder late = attached.order({{2, 5, 0, 1}});
  late.expiresMs = kNow + 100;
  CHECK_EQ(attached.error(late, kNow + 10), ETIME);
  // Out of order within the window, each once.
  auto once = [&](uint64_t sequence) {
    attached.sequence = sequence - 1;
    return attached.error(attached.order({{1, kKey, 0, 1}}));
  };
  CHECK_EQ(once(2000), 0);
  CHECK_EQ(once(1990), 0);
  CHECK_EQ(once(1990), EALREADY);
  CHECK_EQ(once(2000 - 1023), 0);
  CHECK_EQ(once(2000 - 1023), EALREADY);
  CHECK_EQ(once(2000 - 1024), EALREADY);
  CHECK_EQ(once(0), EALREADY);
  CHECK_EQ(once(UINT64_MAX), 0);
  CHECK_EQ(once(2000), EALREADY);
}

TEST(fabric_refuses_regions_that_cannot_be) {
  RemoteMemory memory(kAttachment);
  CHECK_EQ(memory.publish({1, 0, 1, 0, kPeerReads, 0}, kNow).error, EINVAL);
  CHECK_EQ(memory.publish({1, 0, 1, RemoteMemory::kMaxRegionBytes + 1, kPeerReads, 0}, kNow).error, EINVAL);
  CHECK_EQ(memory.publish({1, UINT64_MAX - 1, 1, 1, kPeerReads, 0}, kNow).error, 0);
  CHECK_EQ(memory.publish({2, UINT64_MAX - 1, 1, 2, kPeerReads, 0}, kNow).error, EINVAL);
  CHECK_EQ(memory.publish({2, 0, 1, 1, 0, 0}, kNow).error, EINVAL);
  CHECK_EQ(memory.publish({2, 0, 1, 1, 4, 0}, kNow).error, EINVAL);
  CHECK_EQ(memory.publish({2, 0, 1, 1, kPeerReads, kNow}, kNow).error, ETIME);
  CHECK_EQ(memory.publish({1, 0, 1, 1, kPeerReads, 0}, kNow).error, EEXIST);
  for (uint64_t id = 2; id <= RemoteMemory::kMaxRegions; ++id) CHECK_EQ(memory.publish({id, 0, 1, 1, kPeerReads, 0}, kNow).error, 0);
  CHECK_EQ(memory.publish({0, 0, 1, 1, kPeerReads, 0}, kNow).error, ENOBUFS);
}
