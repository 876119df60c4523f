#include "net/net.h"

namespace kafabric::net {

Net::Net(const Options& options, Arena& arena, std::function<void()> onEvents)
    : options_(options),
      limits_(options_),
      arena_(arena),
      acceptor_(options_, limits_,
                {[this](Accepted accepted) { assign(std::move(accepted)); },
                 [this](uint32_t listener, const std::string& ip) { refuse(listener, ip); }}) {
  for (uint32_t i = 0; i < options_.threads; ++i) {
    reactors_.push_back(std::make_unique<Reactor>(options_, limits_, arena_, onEvents));
  }
  auto notifyAll = [this] {
    for (auto& reactor : reactors_) reactor->notify();
  };
  limits_.onBytesFreed = notifyAll;
  limits_.onConnectionFreed = [this] { acceptor_.notify(); };
  for (auto& reactor : reactors_) reactor->start();
  // Last: without threads there is nobody to end it.
  arenaSubscription_ = arena_.subscribe(notifyAll);
}

Net::~Net() { stop(); }

void Net::stop() {
  acceptor_.stop();
  for (auto& reactor : reactors_) reactor->stop();
  if (arenaSubscription_ != 0) arena_.unsubscribe(std::exchange(arenaSubscription_, 0));
}

void Net::drain(uint64_t deadlineMs) {
  acceptor_.stop();
  for (auto& reactor : reactors_) reactor->drain(deadlineMs);
}

void Net::release(size_t reactor, uint32_t count) {
  if (reactors_[reactor]->inbox().release(count)) reactors_[reactor]->notify();
}

Net::Stats Net::stats() const {
  Stats total;
  for (const auto& reactor : reactors_) {
    const Reactor::Stats& one = reactor->stats();
    total.receivedBytes += one.receivedBytes.load(std::memory_order_relaxed);
    total.sentBytes += one.sentBytes.load(std::memory_order_relaxed);
    total.frames += one.frames.load(std::memory_order_relaxed);
    total.givenBackBytes += one.givenBackBytes.load(std::memory_order_relaxed);
    total.replies += one.replies.load(std::memory_order_relaxed);
  }
  total.connections = limits_.connections();
  total.inFlightBytes = limits_.inFlightBytes();
  return total;
}

void Net::assign(Accepted accepted) {
  size_t least = 0;
  for (size_t i = 1; i < reactors_.size(); ++i) {
    if (reactors_[i]->stats().connections < reactors_[least]->stats().connections) least = i;
  }
  accepted.connection = nextSequence_++ * reactors_.size() + least;
  reactors_[least]->adopt(std::move(accepted));
}

void Net::refuse(uint32_t listener, const std::string& ip) {
  reactors_[0]->refuse(listener, ip);
}

}  // namespace kafabric::net
