// Units of the network part that need no threads.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "net/activity_list.h"
#include "net/inbox.h"
#include "net/limits.h"
#include "net/output_queue.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::net;

namespace {

struct SocketPair {
  int ends[2];
  SocketPair() { CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0); }
  ~SocketPair() {
    ::close(ends[0]);
    if (ends[1] >= 0) ::close(ends[1]);
  }
  std::string read() {
    std::string all;
    char part[65536];
    for (ssize_t n; (n = ::read(ends[1], part, sizeof part)) > 0;) all.append(part, static_cast<size_t>(n));
    return all;
  }
};

std::string drain(OutputQueue& queue, SocketPair& sockets) {
  std::string all;
  for (int i = 0; i < 10000 && !queue.empty(); ++i) {
    OutputQueue::Result result = queue.write(sockets.ends[0]);
    CHECK(result != OutputQueue::Result::kBroken && result != OutputQueue::Result::kShortFile);
    all += sockets.read();
  }
  return all + sockets.read();
}

std::shared_ptr<FileHandle> fileWith(const std::string& content) {
  char path[] = "/tmp/native-test-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fd >= 0);
  unlink(path);
  CHECK_EQ(write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return FileHandle::adopt(fd, path);
}

}  // namespace

TEST(inbox_hands_over_frames_in_place_and_wraps_around) {
  Inbox inbox(16384);
  uint64_t sent = 0;
  uint64_t received = 0;
  for (int round = 0; round < 200; ++round) {
    size_t length = 1000 + static_cast<size_t>(round) * 37 % 3000;
    iovec space = inbox.reserve(length, 2 * length);
    if (!space.iov_base) {
      Inbox::Batch batch = inbox.collect();
      CHECK(batch.count > 0);
      for (uint32_t i = 0; i < batch.count; ++i) {
        const Event& event = inbox.event((batch.first + i) % Inbox::kEvents);
        const uint8_t* data = inbox.region()->data() + static_cast<size_t>(event.offset);
        CHECK_EQ(static_cast<uint64_t>(event.connection), received);
        CHECK_EQ(data[0], static_cast<uint8_t>(received));
        CHECK_EQ(data[static_cast<size_t>(event.length) - 1], static_cast<uint8_t>(received));
        ++received;
      }
      CHECK(inbox.release(batch.count));  // the producer asked for room
      space = inbox.reserve(length, 2 * length);
      CHECK(space.iov_base);
    }
    std::memset(space.iov_base, static_cast<int>(sent), length);
    CHECK(inbox.hasRoom());
    inbox.addFrame(sent++, static_cast<uint8_t*>(space.iov_base), length);
    CHECK(inbox.publish());
  }
  CHECK(received > 150);
}

TEST(inbox_keeps_control_events_when_it_is_full) {
  Inbox inbox(4096);
  for (uint32_t i = 0; i < Inbox::kEvents + 10; ++i) inbox.addControl(EventType::kClosed, i, 0, 0);
  CHECK(!inbox.hasRoom());
  inbox.publish();
  uint32_t seen = 0;
  for (int round = 0; round < 3; ++round) {
    Inbox::Batch batch = inbox.collect();
    for (uint32_t i = 0; i < batch.count; ++i) {
      CHECK_EQ(inbox.event((batch.first + i) % Inbox::kEvents).connection, static_cast<double>(seen++));
    }
    inbox.release(batch.count);
    inbox.publish();
  }
  CHECK_EQ(seen, Inbox::kEvents + 10);
}

TEST(inbox_keeps_what_is_in_use_while_all_its_events_are) {
  Inbox inbox(65536);
  auto* data = static_cast<uint8_t*>(inbox.reserve(60'000, 60'000).iov_base);
  CHECK(data != nullptr);
  inbox.addFrame(1, data, 16);
  inbox.addFrame(1, data + 16, 59'000);
  inbox.publish();
  CHECK_EQ(inbox.collect().count, 2u);
  inbox.release(1);
  while (inbox.hasRoom()) inbox.addFrame(1, nullptr, 0);
  // Only what the first frame has left is free.
  CHECK(inbox.reserve(8'192, 8'192).iov_base == nullptr);
}

TEST(output_queue_sends_bytes_memory_and_files_in_order) {
  Arena arena(4 << 20);
  SocketPair sockets;
  OutputQueue queue;
  std::string expected;
  uint32_t replies = 0;
  auto file = fileWith(std::string(300'000, 'f'));
  for (int i = 0; i < 20; ++i) {
    std::string bytes(static_cast<size_t>(i) * 1000, static_cast<char>('a' + i));
    queue.addBytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    MemoryRef memory = arena.allocate(100'000);
    std::memset(memory.data(), 'm', 100'000);
    queue.addMemory(memory, 10, 99'000);
    queue.addFile(file, 100'000, 150'000);
    queue.endReply();
    expected += bytes + std::string(99'000, 'm') + std::string(150'000, 'f');
  }
  CHECK_EQ(queue.queuedBytes(), expected.size());
  file.reset();
  std::string received = drain(queue, sockets);
  CHECK(received == expected);
  replies += queue.takeFinished();
  CHECK_EQ(replies, 20u);
  CHECK_EQ(queue.takeWritten(), expected.size());
  CHECK_EQ(arena.stats().used, 0u);
}

TEST(output_queue_sends_nothing_from_where_a_hole_may_be) {
  constexpr size_t kBytes = 100'000;
  Arena arena(4 << 20);
  SocketPair sockets;
  auto file = fileWith(std::string(kBytes, 'f'));
  file->setWritten(kBytes);
  auto mayMakeHoles = [&] { return OwedPart::mayMakeHoles(file->device(), file->inode()); };
  auto add = [&](OutputQueue& queue) {
    MemoryRef memory = arena.allocate(kBytes);
    std::memset(memory.data(), 'f', kBytes);
    queue.addMemory(memory, 0, kBytes, file, 0);
  };
  {
    OutputQueue queue;
    add(queue);
    // It stays in memory when parts of the file were given back.
    CHECK(mayMakeHoles());
    CHECK_EQ(queue.giveBackMemory(0), 0u);
    add(queue);
    CHECK_EQ(queue.giveBackMemory(0), kBytes);
    CHECK(!mayMakeHoles());
    CHECK_EQ(drain(queue, sockets), std::string(2 * kBytes, 'f'));
    CHECK(mayMakeHoles());
    add(queue);
    CHECK_EQ(queue.giveBackMemory(0), kBytes);
    CHECK(!mayMakeHoles());
  }
  // Its connection is gone.
  CHECK(mayMakeHoles());
}

TEST(output_queue_counts_empty_replies_in_order) {
  SocketPair sockets;
  OutputQueue queue;
  queue.endReply();
  CHECK_EQ(queue.takeFinished(), 1u);
  queue.addBytes(reinterpret_cast<const uint8_t*>("abc"), 3);
  queue.endReply();
  queue.endReply();
  CHECK_EQ(queue.takeFinished(), 0u);
  CHECK_EQ(drain(queue, sockets), "abc");
  CHECK_EQ(queue.takeFinished(), 2u);
}

TEST(output_queue_reports_short_files_and_lost_peers) {
  SocketPair sockets;
  OutputQueue queue;
  queue.addFile(fileWith("short"), 0, 10);
  CHECK(queue.write(sockets.ends[0]) == OutputQueue::Result::kShortFile);
  OutputQueue other;
  other.addBytes(reinterpret_cast<const uint8_t*>("x"), 1);
  ::close(std::exchange(sockets.ends[1], -1));
  CHECK(other.write(sockets.ends[0]) == OutputQueue::Result::kBroken);
  CHECK_EQ(other.error(), EPIPE);
}

TEST(file_handles_are_found_while_someone_holds_them) {
  auto file = fileWith("x");
  uint64_t id = file->id();
  CHECK(FileHandle::find(id) == file);
  file.reset();
  CHECK(!FileHandle::find(id));
}

TEST(limits_tell_when_there_is_room_again) {
  Options options;
  options.maxInFlightBytes = 100;
  options.maxConnections = 2;
  options.maxConnectionsPerIp = 1;
  Limits limits(options);
  int bytesFreed = 0;
  int connectionsFreed = 0;
  limits.onBytesFreed = [&] { ++bytesFreed; };
  limits.onConnectionFreed = [&] { ++connectionsFreed; };
  CHECK(limits.admit(99));
  CHECK(limits.admit(500));  // one frame may go beyond the limit
  CHECK(!limits.admit(1));
  limits.release(99);
  CHECK_EQ(bytesFreed, 0);
  limits.release(500);
  CHECK_EQ(bytesFreed, 1);
  CHECK(limits.addConnection("a"));
  CHECK(!limits.addConnection("a"));
  CHECK(!limits.connectionsFull());
  CHECK(limits.addConnection("b"));
  CHECK(limits.connectionsFull());
  limits.removeConnection("a");
  CHECK_EQ(connectionsFreed, 1);
  CHECK(limits.addConnection("a"));
}
