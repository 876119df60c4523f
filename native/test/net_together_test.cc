// When JavaScript hears of large frames that follow each other.
#include <atomic>
#include <mutex>
#include <vector>

#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

// Large here, and few enough for the kernel to hold four of them while nobody reads.
constexpr size_t kFrameBytes = 8'000;

/** A network part whose frames are collected when it says so, as a list of how many at a time, and never answered. */
struct Listening {
  Arena arena{64 << 20};
  std::atomic<int> announced{0};
  std::atomic<int> checks{0};
  std::mutex checking;  // the reactor waits for it when a frame is whole
  std::unique_ptr<Net> net;
  uint16_t port = 0;

  Listening() {
    Options settings = options(1);
    settings.largeFrameBytes = kFrameBytes / 2;
    settings.checkFrame = [this](const uint8_t*, size_t, const std::vector<FramePart>&) -> std::shared_ptr<void> {
      ++checks;
      std::lock_guard wait(checking);
      return nullptr;
    };
    net = std::make_unique<Net>(settings, arena, [this] { ++announced; });
    port = net->listen("127.0.0.1", 0).port;
  }
  ~Listening() { net->stop(); }

  /** The frames that have come with the next announcement that brings some. */
  size_t next() {
    for (size_t frames = 0;;) {
      WAIT_UNTIL(announced > 0);
      --announced;
      Inbox& inbox = net->reactor(0).inbox();
      Inbox::Batch batch = inbox.collect();
      for (uint32_t i = 0; i < batch.count; ++i) {
        uint32_t index = (batch.first + i) % Inbox::kEvents;
        inbox.takeLargeFrame(index);
        frames += inbox.event(index).type == static_cast<double>(EventType::kLargeFrame) ? 1 : 0;
      }
      net->release(0, batch.count);
      if (frames > 0) return frames;
    }
  }
};

/** `whole` frames, and the beginning of another. */
std::vector<uint8_t> frames(size_t whole) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i <= whole; ++i) {
    std::vector<uint8_t> one = frame(kFrameBytes, 'f');
    bytes.insert(bytes.end(), one.begin(), i < whole ? one.end() : one.begin() + 100);
  }
  return bytes;
}

}  // namespace

TEST(net_hands_over_large_frames_together_that_follow_each_other) {
  Listening server;
  Client client(server.port);
  WAIT_UNTIL(server.announced == 1);  // the connection
  server.announced = 0;
  {
    std::lock_guard wait(server.checking);
    client.send(frame(kFrameBytes, 'f'));
    WAIT_UNTIL(server.checks > 0);
    client.send(frames(3));
    WAIT_UNTIL(client.unacknowledged() == 0);
  }
  CHECK_EQ(server.next(), 4u);
  CHECK_EQ(server.announced, 0);
}

TEST(net_hands_over_a_large_frame_though_the_next_one_does_not_come) {
  Listening server;
  Client client(server.port);
  client.send(frames(1));
  CHECK_EQ(server.next(), 1u);
}
