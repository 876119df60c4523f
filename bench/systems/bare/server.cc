// The least that a broker can do with produced records, as the bound of the produce workload: a thread for each connection receives frames into
// recycled memory, checks the batches' CRC-32C and answers; another writes them with O_DIRECT. Nothing can be read back.
//
//   server <port> <folder>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "batch/crc32c.h"
#include "ring.h"
#include "wire.h"

namespace {

enum Api : int16_t { kProduce = 0, kFetch = 1, kMetadata = 3, kApiVersions = 18, kCreateTopics = 19, kDeleteTopics = 20 };
constexpr int16_t kUnknownTopic = 3;
constexpr int16_t kCorrupt = 2;
constexpr int16_t kUnsupportedVersion = 35;
/** Requests without records are shorter, with a thousand topics too. */
constexpr size_t kShortBytes = 64 << 10;
constexpr size_t kCrcAt = 17, kCheckedAt = 21, kLastDeltaAt = 23, kHeaderBytes = 61;

int port;
std::string folder;
std::mutex mutex;
std::map<std::string, int> topics;
std::vector<std::unique_ptr<Ring>> rings;
std::vector<Ring*> unused;
std::atomic<int64_t> nextOffset;

/** A ring that no connection has. There are as many as connections once had records at the same time. */
Ring* borrowRing() {
  std::lock_guard lock(mutex);
  if (unused.empty()) {
    rings.push_back(std::make_unique<Ring>(folder + "/ring-" + std::to_string(rings.size())));
    return rings.back().get();
  }
  Ring* ring = unused.back();
  unused.pop_back();
  return ring;
}

struct Connection {
  int fd;
  Ring* ring = nullptr;

  ~Connection() {
    close(fd);
    if (ring == nullptr) return;
    std::lock_guard lock(mutex);
    unused.push_back(ring);
  }

  bool receive(uint8_t* to, size_t bytes) {
    while (bytes > 0) {
      ssize_t count = recv(fd, to, bytes, MSG_WAITALL);
      if (count <= 0) return false;
      to += count;
      bytes -= count;
    }
    return true;
  }
};

void answerVersions(int16_t version, Writer& out) {
  // librdkafka produces batches of the present format only to a broker that can also be fetched from with it.
  constexpr int16_t ranges[][3] = {{kProduce, 3, 7},     {kFetch, 4, 4},        {kMetadata, 1, 1},
                                   {kApiVersions, 0, 0}, {kCreateTopics, 0, 0}, {kDeleteTopics, 0, 0}};
  out.i16(version > 0 ? kUnsupportedVersion : 0);
  out.i32(std::size(ranges));
  for (auto& range : ranges) {
    for (int16_t value : range) out.i16(value);
  }
}

void answerMetadata(Reader& in, Writer& out) {
  std::vector<std::string> names;
  for (int32_t count = in.i32(); count > 0; count--) names.push_back(in.string());
  out.i32(1);
  out.i32(1);
  out.string("127.0.0.1");
  out.i32(port);
  out.i16(-1);
  out.i32(1);
  out.i32(static_cast<int32_t>(names.size()));
  std::lock_guard lock(mutex);
  for (auto& name : names) {
    auto found = topics.find(name);
    int partitions = found == topics.end() ? 0 : found->second;
    out.i16(partitions > 0 ? 0 : kUnknownTopic);
    out.string(name);
    out.i8(0);
    out.i32(partitions);
    for (int i = 0; i < partitions; i++) {
      out.i16(0);
      // Index, leader, one replica, one in sync.
      for (int32_t value : {i, 1, 1, 1, 1, 1}) out.i32(value);
    }
  }
}

void answerCreate(Reader& in, Writer& out) {
  int32_t count = in.i32();
  out.i32(count);
  std::lock_guard lock(mutex);
  for (; count > 0; count--) {
    std::string name = in.string();
    topics[name] = in.i32();
    in.i16();
    if (in.i32() > 0) throw std::runtime_error("replicas cannot be assigned");
    for (int32_t configs = in.i32(); configs > 0; configs--) {
      in.string();
      in.string();
    }
    out.string(name);
    out.i16(0);
  }
}

void answerDelete(Reader& in, Writer& out) {
  int32_t count = in.i32();
  out.i32(count);
  std::lock_guard lock(mutex);
  for (; count > 0; count--) {
    std::string name = in.string();
    out.string(name);
    out.i16(topics.erase(name) > 0 ? 0 : kUnknownTopic);
  }
}

void answerPartition(Reader& in, Writer& out) {
  out.i32(in.i32());
  int32_t length = in.i32();
  if (length < static_cast<int32_t>(kHeaderBytes)) throw std::runtime_error("a batch is too short");
  const uint8_t* batch = in.skip(length);
  uint32_t expected, lastDelta;
  std::memcpy(&expected, batch + kCrcAt, 4);
  std::memcpy(&lastDelta, batch + kLastDeltaAt, 4);
  bool whole = kafabric::crc32c(0, batch + kCheckedAt, length - kCheckedAt) == be32toh(expected);
  out.i16(whole ? 0 : kCorrupt);
  out.i64(nextOffset.fetch_add(be32toh(lastDelta) + 1));
  out.i64(-1);
  out.i64(0);
}

void answerProduce(Reader& in, Writer& out) {
  in.string();
  in.i16();
  in.i32();
  int32_t count = in.i32();
  out.i32(count);
  for (; count > 0; count--) {
    out.string(in.string());
    int32_t partitions = in.i32();
    out.i32(partitions);
    for (; partitions > 0; partitions--) answerPartition(in, out);
  }
  out.i32(0);
}

/** Serves one request; false when the connection ended. */
bool serveOne(Connection& connection) {
  uint32_t length;
  if (!connection.receive(reinterpret_cast<uint8_t*>(&length), 4)) return false;
  length = ntohl(length);
  std::vector<uint8_t> small;
  uint8_t* frame;
  if (length > kShortBytes) {
    if (connection.ring == nullptr) connection.ring = borrowRing();
    if (length > kRingBytes / 2) throw std::runtime_error("a request of " + std::to_string(length) + " bytes is too long");
    frame = connection.ring->room(length);
  } else {
    small.resize(length);
    frame = small.data();
  }
  if (!connection.receive(frame, length)) return false;
  Reader in(frame, length);
  int16_t api = in.i16(), version = in.i16();
  Writer out(in.i32());
  in.string();
  if (api == kProduce) answerProduce(in, out);
  else if (api == kMetadata) answerMetadata(in, out);
  else if (api == kApiVersions) answerVersions(version, out);
  else if (api == kCreateTopics) answerCreate(in, out);
  else if (api == kDeleteTopics) answerDelete(in, out);
  else throw std::runtime_error("API key " + std::to_string(api) + " is not served");
  if (length > kShortBytes) connection.ring->keep(length);
  const std::string& answer = out.finish();
  return send(connection.fd, answer.data(), answer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(answer.size());
}

void serve(int fd) {
  Connection connection{fd};
  try {
    while (serveOne(connection)) {
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: server <port> <folder>\n");
    return 2;
  }
  port = std::atoi(argv[1]);
  folder = argv[2];
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 511) != 0) {
    std::perror("listen");
    return 1;
  }
  for (;;) {
    int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::thread(serve, fd).detach();
  }
}
