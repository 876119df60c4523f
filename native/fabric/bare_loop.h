// Pieces that move in a loop that does nothing else: what a way to a target is capable of, beside which transfers by the engine can be judged.
//
// A loop has a connection, or an endpoint, of its own, so that transfers of others go on; and it keeps the thread of its caller busy while it runs.
#pragma once

#include <string>
#include <vector>

#include "fabric/bulk.h"

namespace kafabric::fabric {

struct BareLoad {
  Direction direction = Direction::kRead;
  /** What is moved, again and again; `local` need not be registered. */
  Range range;
  /** At most the length of the range. */
  uint64_t pieceBytes = 0;
  /** Pieces under way, 64 at most. */
  uint32_t window = 1;
  /** For how long pieces are begun, and at least until all of the range was moved once. */
  Clock::duration time{};
};

struct BareResult {
  uint64_t bytes = 0;
  Clock::duration took{};
  /** Half of the pieces took less, from when they were posted. */
  Clock::duration median{};
};

/** One thread at a time. */
class BareLoop {
 public:
  virtual ~BareLoop() = default;
  BareLoop(const BareLoop&) = delete;
  BareLoop& operator=(const BareLoop&) = delete;

  /** May take milliseconds. What the target has to answer is in `offer` then. */
  virtual IoStatus open(std::string& offer) = 0;
  /** Takes the answer of a target's transport; the target is reached then, or will be by the first piece. */
  virtual IoStatus connect(const std::string& answer) = 0;
  /**
   * Nothing touches the memory any more when it returns. Fails with ETIMEDOUT when nothing comes of the target for two seconds; after a failure the
   * loop is of no use any more.
   */
  IoStatus run(const BareLoad& load, BareResult& result);

 protected:
  static constexpr uint32_t kMaxWindow = 64;

  BareLoop() = default;

  /** Before the first piece of a run. */
  virtual IoStatus prepare(const BareLoad& load) = 0;
  /** Begins to move a piece; `slot` names it until it has ended. */
  virtual Carrier::Posted post(uint32_t slot, Direction direction, const Range& piece, IoStatus& status) = 0;
  /** Adds what has ended; waits for some milliseconds when nothing has. */
  virtual IoStatus collect(std::vector<uint32_t>& ended) = 0;
  /** Makes sure that nothing moves any more. */
  virtual void close() = 0;

 private:
  struct Run;
  IoStatus move(const BareLoad& load, Run& run);
};

}  // namespace kafabric::fabric
