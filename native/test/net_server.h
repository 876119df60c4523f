// A network part with real sockets for tests; a thread plays JavaScript.
#pragma once

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "net/net.h"
#include "test/test.h"

namespace kafabric::test {

using namespace kafabric::net;

inline void put32(std::vector<uint8_t>& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

inline std::vector<uint8_t> frame(size_t length, uint8_t fill) {
  std::vector<uint8_t> bytes;
  put32(bytes, static_cast<uint32_t>(length));
  bytes.insert(bytes.end(), length, fill);
  return bytes;
}

/** A blocking client. */
class Client {
 public:
  explicit Client(uint16_t port, const char* from = nullptr) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (from) {
      inet_pton(AF_INET, from, &address.sin_addr);
      CHECK_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval timeout{240, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  }
  ~Client() { ::close(fd_); }
  bool send(const std::vector<uint8_t>& bytes, size_t from = 0, size_t to = SIZE_MAX) {
    to = std::min(to, bytes.size());
    while (from < to) {
      ssize_t count = ::send(fd_, bytes.data() + from, to - from, MSG_NOSIGNAL);
      if (count <= 0) return false;
      from += static_cast<size_t>(count);
    }
    return true;
  }
  /** The next frame; empty at the end of the connection. */
  std::vector<uint8_t> read() {
    uint8_t head[4];
    if (!readAll(head, 4)) return {};
    std::vector<uint8_t> body(size_t{head[0]} << 24 | size_t{head[1]} << 16 | size_t{head[2]} << 8 | head[3]);
    CHECK(readAll(body.data(), body.size()));
    return body;
  }
  /** Has the kernel note when bytes come. */
  void noteArrivals() {
    int on = 1;
    CHECK_EQ(setsockopt(fd_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), 0);
  }
  /** When the bytes that are read came, in nanoseconds; 0: that was not noted. */
  int64_t readArrival(std::vector<uint8_t>& into) {
    iovec part{into.data(), into.size()};
    alignas(cmsghdr) char control[256];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    CHECK_EQ(recvmsg(fd_, &message, MSG_WAITALL), static_cast<ssize_t>(into.size()));
    for (cmsghdr* one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
      if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SO_TIMESTAMPNS) continue;
      timespec time;
      std::memcpy(&time, CMSG_DATA(one), sizeof time);
      return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    }
    return 0;
  }
  /** Bytes that are sent and not yet in the other end's buffer. */
  size_t unacknowledged() const {
    int bytes = 0;
    CHECK_EQ(ioctl(fd_, SIOCOUTQ, &bytes), 0);
    return static_cast<size_t>(bytes);
  }
  void readExactly(std::vector<uint8_t>& into) { CHECK(readAll(into.data(), into.size())); }
  bool ended() {
    uint8_t byte;
    return recv(fd_, &byte, 1, 0) <= 0;
  }
  void endSending() { shutdown(fd_, SHUT_WR); }
  void reset() {
    linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(std::exchange(fd_, -1));
  }

 private:
  bool readAll(uint8_t* into, size_t size) {
    size_t done = 0;
    while (done < size) {
      ssize_t count = recv(fd_, into + done, size - done, 0);
      if (count <= 0) return false;
      done += static_cast<size_t>(count);
    }
    return true;
  }
  int fd_;
};

/** A Net whose events a thread of its own collects, as JavaScript does; frames are echoed unless `onFrame` is set. */
class Server {
 public:
  using OnFrame = std::function<void(uint64_t connection, const uint8_t* data, size_t length, MemoryRef memory)>;

  explicit Server(Options options, size_t arenaBytes = 64 << 20) : arena_(arenaBytes) {
    net_ = std::make_unique<Net>(options, arena_, [this] {
      std::lock_guard lock(mutex_);
      pending_ = true;
      wake_.notify_one();
    });
    port = net_->listen("127.0.0.1", 0).port;
  }
  ~Server() {
    if (thread_.joinable()) end();
  }
  Server& start() {
    thread_ = std::thread([this] { run(); });
    return *this;
  }
  void end() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
    net_->stop();
  }
  void reply(uint64_t connection, const uint8_t* data, size_t length, MemoryRef memory = {}) {
    CommandBatch batch;
    put32(batch.bytes, static_cast<uint32_t>(length));
    if (!memory) batch.bytes.insert(batch.bytes.end(), data, data + length);
    Command head;
    head.connection = connection;
    head.length = batch.bytes.size();
    head.endsReply = !memory;
    batch.commands.push_back(std::move(head));
    if (memory) {
      Command body;
      body.kind = Command::Kind::kMemory;
      body.connection = connection;
      body.length = length;
      body.memory = std::move(memory);
      body.endsReply = true;
      batch.commands.push_back(std::move(body));
    }
    net_->reactor(net_->reactorOf(connection)).submit(batch);
  }
  size_t closes() {
    std::lock_guard lock(mutex_);
    return closed_.size();
  }
  CloseReason closeReason(size_t index) {
    std::lock_guard lock(mutex_);
    return closed_[index];
  }
  void waitForCloses(size_t count) {
    WAIT_UNTIL(closes() >= count);
  }

  uint16_t port = 0;
  OnFrame onFrame;
  std::function<void(const std::shared_ptr<void>&)> onChecked;  // what Options::checkFrame has returned
  std::atomic<size_t> drained{0};
  std::atomic<size_t> sent{0};  // replies whose end was reported
  Net& net() { return *net_; }
  Arena& arena() { return arena_; }

 private:
  void run() {
    while (true) {
      std::vector<pollfd> lent;
      for (size_t i = 0; i < net_->reactors(); ++i) {
        if (net_->reactor(i).lent()) lent.push_back({net_->reactor(i).pollFd(), POLLIN, 0});
      }
      {
        std::unique_lock lock(mutex_);
        if (lent.empty()) wake_.wait(lock, [this] { return pending_ || ended_; });
        if (ended_) return;
        pending_ = false;
      }
      if (!lent.empty()) poll(lent.data(), lent.size(), 1);
      for (size_t i = 0; i < net_->reactors(); ++i) net_->reactor(i).serveHere();
      for (size_t i = 0; i < net_->reactors(); ++i) collect(i);
    }
  }
  void collect(size_t reactor) {
    Inbox& inbox = net_->reactor(reactor).inbox();
    Inbox::Batch batch = inbox.collect();
    for (uint32_t i = 0; i < batch.count; ++i) {
      uint32_t index = (batch.first + i) % Inbox::kEvents;
      LargeFrame large = inbox.takeLargeFrame(index);
      if (large.checked && onChecked) onChecked(large.checked);
      handle(inbox, inbox.event(index), std::move(large.memory));
    }
    net_->release(reactor, batch.count);
  }
  void handle(Inbox& inbox, const Event& event, MemoryRef memory) {
    auto connection = static_cast<uint64_t>(event.connection);
    auto length = static_cast<size_t>(event.length);
    switch (static_cast<EventType>(event.type)) {
      case EventType::kFrame:
      case EventType::kLargeFrame: {
        const uint8_t* data = memory ? memory.data() : inbox.region()->data() + static_cast<size_t>(event.offset);
        if (onFrame) {
          onFrame(connection, data, length, std::move(memory));
        } else {
          reply(connection, data, length, std::move(memory));
        }
        break;
      }
      case EventType::kClosed: {
        std::lock_guard lock(mutex_);
        closed_.push_back(static_cast<CloseReason>(event.detail));
        break;
      }
      case EventType::kSent:
        sent += static_cast<size_t>(event.detail);
        break;
      case EventType::kDrained:
        ++drained;
        break;
      default:
        break;
    }
  }

  Arena arena_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool pending_ = false;
  bool ended_ = false;
  std::vector<CloseReason> closed_;
  std::unique_ptr<Net> net_;
  std::thread thread_;
};

inline Options options(uint32_t threads = 2) {
  Options result;
  result.threads = threads;
  return result;
}

}  // namespace kafabric::test
