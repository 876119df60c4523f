#include "direct/region_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "direct/region.h"
#include "store/start_thread.h"

namespace kafabric::direct {

namespace {

constexpr int kNoTimeoutMs = -1;
constexpr std::chrono::milliseconds kExhaustedWait{50};
constexpr uid_t kEverybodyElse = static_cast<uid_t>(-1);

uint64_t monotonicMs() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

}  // namespace

RegionServer::RegionServer(int listening, std::function<void()> onRequests, Trust isTrusted)
    : listening_(listening),
      wakeFd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      onRequests_(std::move(onRequests)),
      isTrusted_(std::move(isTrusted)) {
  try {
    if (wakeFd_ < 0) throw std::system_error(errno, std::generic_category(), "shared memory of clients");
    thread_ = startThread("kafabric-memory", [this] { run(); });
  } catch (const std::system_error&) {
    closeOwn();
    throw;
  }
}

void RegionServer::closeOwn() {
  ::close(listening_);
  if (wakeFd_ >= 0) ::close(wakeFd_);
}

void RegionServer::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wakeFd_, &one, sizeof one);
  thread_.join();
  for (auto& [id, peer] : peers_) ::close(peer.fd);
  peers_.clear();
  for (Request& request : requests_)
    if (request.fd >= 0) ::close(request.fd);
  requests_.clear();
  closeOwn();
}

std::vector<RegionServer::Request> RegionServer::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(requests_, {});
}

void RegionServer::answer(uint64_t peer, int64_t number) {
  std::lock_guard lock(mutex_);
  auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  if (found->second.maps) answerWithMemory(found->second.fd, {number, 0}, -1);
  else answerOffer(found->second.fd, number);
  forget(peer);
}

bool RegionServer::answer(uint64_t peer, const ServerMemory& memory, int fd) {
  std::lock_guard lock(mutex_);
  auto found = peers_.find(peer);
  if (found == peers_.end()) return false;
  bool keep = memory.bytes > 0 && kept_ < kMaxKept;
  answerWithMemory(found->second.fd, keep ? memory : ServerMemory{memory.bytes > 0 ? -ENOSPC : memory.bytes, 0}, keep ? fd : -1);
  if (!keep) {
    forget(peer);
    return false;
  }
  found->second.kept = true;
  ++kept_;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wakeFd_, &one, sizeof one);  // it is to be watched again
  return true;
}

void RegionServer::run() {
  std::vector<pollfd> watched;
  std::vector<uint64_t> ids;
  while (!stopping_.load()) {
    watched = {{listening_, POLLIN, 0}, {wakeFd_, POLLIN, 0}};
    ids = {0, 0};
    int timeoutMs = kNoTimeoutMs;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [id, peer] : peers_) {
        if (peer.asked && !peer.kept) continue;  // until it is answered
        watched.push_back({peer.fd, POLLIN, 0});
        ids.push_back(id);
        if (!peer.kept) timeoutMs = static_cast<int>(kSilentMs);
      }
    }
    if (poll(watched.data(), watched.size(), timeoutMs) < 0 && errno != EINTR) return;
    uint64_t ignored;
    if (watched[1].revents) [[maybe_unused]] ssize_t count = read(wakeFd_, &ignored, sizeof ignored);
    uint64_t nowMs = monotonicMs();
    bool news = false;
    bool exhausted = false;
    {
      std::lock_guard lock(mutex_);
      for (size_t i = 2; i < watched.size(); ++i) {
        auto found = peers_.find(ids[i]);
        if (watched[i].revents && found != peers_.end()) receive(found->first, found->second);
      }
      if (watched[0].revents) exhausted = !acceptAll(nowMs);
      closeSilent(nowMs);
      news = !requests_.empty();
    }
    if (news) onRequests_();
    if (exhausted) std::this_thread::sleep_for(kExhaustedWait);
  }
}

bool RegionServer::acceptAll(uint64_t nowMs) {
  for (size_t count = 0; count < kMaxPeers; ++count) {
    Peer who;
    int fd = acceptPeer(listening_, who);
    if (fd == -EINTR || fd == -ECONNABORTED) continue;
    if (fd < 0) return fd == -EAGAIN;
    if (!allows(who.uid, nowMs) || !hasRoomFor(who.uid)) {
      turnedAway_.fetch_add(1, std::memory_order_relaxed);
      turnAway(fd);
      continue;
    }
    peers_.emplace(nextId_++, Connected{fd, who, nowMs + kSilentMs});
  }
  return true;
}

bool RegionServer::hasRoomFor(uid_t user) const {
  size_t waiting = peers_.size() - kept_;
  if (waiting < kMaxPeersOfUser || waiting >= kMaxPeers) return waiting < kMaxPeers;
  auto isOf = [user](const auto& peer) { return !peer.second.kept && peer.second.who.uid == user; };
  return static_cast<size_t>(std::count_if(peers_.begin(), peers_.end(), isOf)) < kMaxPeersOfUser;
}

bool RegionServer::allows(uid_t user, uint64_t nowMs) {
  auto found = rates_.find(user);
  if (found == rates_.end() && rates_.size() >= kMaxUsers) user = kEverybodyElse;
  Rate& rate = rates_[user];
  if (rate.atMs != 0) rate.tokens = std::min<double>(kBurst, rate.tokens + static_cast<double>(nowMs - rate.atMs) * kPerSecond / 1000);
  rate.atMs = nowMs;
  if (rate.tokens < 1) return false;
  rate.tokens -= 1;
  return true;
}

void RegionServer::receive(uint64_t id, Connected& peer) {
  Request request{Request::Kind::kOffer};
  request.peer = id;
  request.who = peer.who;
  // Not even to be closed: that may wait for whoever has the file's file system.
  bool isTrusted = isTrusted_(peer.who.uid);
  int error = isTrusted ? receiveOffer(peer.fd, request.offer, request.fd) : receiveWords(peer.fd, request.offer);
  if (error == EAGAIN || error == EINTR) return;
  if (peer.kept) {
    // It has nothing more to say: either it has gone, or it does not keep to the protocol.
    if (request.fd >= 0) ::close(request.fd);
    requests_.push_back({Request::Kind::kGone, id});
    --kept_;
    return forget(id);
  }
  if (error != 0) return forget(id);
  peer.asked = true;
  peer.maps = request.offer.size == 0;
  if (peer.maps) request.kind = Request::Kind::kMap;
  else request.error = isTrusted ? checkRegion(request.fd, request.offer.size) : EACCES;
  requests_.push_back(request);
}

void RegionServer::closeSilent(uint64_t nowMs) {
  for (auto at = peers_.begin(); at != peers_.end();) {
    bool silent = !at->second.asked && at->second.untilMs <= nowMs;
    if (silent) ::close(at->second.fd);
    at = silent ? peers_.erase(at) : std::next(at);
  }
}

void RegionServer::forget(uint64_t id) {
  auto found = peers_.find(id);
  if (found == peers_.end()) return;
  ::close(found->second.fd);
  peers_.erase(found);
}

}  // namespace kafabric::direct
