#include "fabric/bare_loop.h"

#include <algorithm>
#include <cerrno>

namespace kafabric::fabric {

namespace {

constexpr auto kPatience = std::chrono::seconds(2);

}  // namespace

struct BareLoop::Run {
  std::vector<Clock::time_point> posted;
  std::vector<uint32_t> free;
  std::vector<Clock::duration> latencies;
  uint64_t next = 0;
  Clock::time_point began = Clock::now();
  Clock::time_point heard = began;

  explicit Run(uint32_t window) : posted(window) {
    for (uint32_t slot = window; slot-- > 0;) free.push_back(slot);
  }
  bool isIdle() const { return free.size() == posted.size(); }
};

IoStatus BareLoop::run(const BareLoad& load, BareResult& result) {
  if (load.pieceBytes == 0 || load.pieceBytes > load.range.length || load.window == 0 || load.window > kMaxWindow)
    return {EINVAL, "the load of a bare loop is impossible"};
  IoStatus status = prepare(load);
  Run run(load.window);
  if (status.ok()) status = move(load, run);
  if (!status.ok()) {
    close();
    return status;
  }
  result.bytes = run.latencies.size() * load.pieceBytes;
  result.took = Clock::now() - run.began;
  if (run.latencies.empty()) return {};
  auto middle = run.latencies.begin() + static_cast<ptrdiff_t>(run.latencies.size() / 2);
  std::nth_element(run.latencies.begin(), middle, run.latencies.end());
  result.median = *middle;
  return {};
}

IoStatus BareLoop::move(const BareLoad& load, Run& run) {
  const uint64_t pieces = load.range.length / load.pieceBytes;
  std::vector<uint32_t> ended;
  IoStatus status;
  for (;;) {
    bool goesOn = run.next < pieces || Clock::now() - run.began < load.time;
    if (!goesOn && run.isIdle()) return {};
    while (goesOn && !run.free.empty()) {
      uint64_t at = run.next % pieces * load.pieceBytes;
      uint32_t slot = run.free.back();
      run.posted[slot] = Clock::now();
      Range piece{load.range.local + at, load.pieceBytes, load.range.address + at, load.range.key};
      Carrier::Posted posted = post(slot, load.direction, piece, status);
      if (posted == Carrier::Posted::kFailed) return status;
      if (posted == Carrier::Posted::kBusy) break;
      run.free.pop_back();
      ++run.next;
    }
    ended.clear();
    status = collect(ended);
    if (!status.ok()) return status;
    Clock::time_point now = Clock::now();
    for (uint32_t slot : ended) {
      run.latencies.push_back(now - run.posted[slot]);
      run.free.push_back(slot);
    }
    if (!ended.empty()) run.heard = now;
    else if (now - run.heard > kPatience) return {ETIMEDOUT, "the target does not answer"};
  }
}

}  // namespace kafabric::fabric
