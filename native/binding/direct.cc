#include "binding/direct.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "batch/header.h"
#include "batch/produce_check.h"
#include "binding/arena.h"
#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/workers.h"
#include "direct/move.h"

namespace kafabric::binding {

using namespace direct;

namespace {

/** Words of a move before its blocks: kind, memory, start, length, target, target offset, whether its CRC is wanted, blocks. */
constexpr size_t kMoveWords = 8;
constexpr size_t kBlockWords = 4;

// (region)
void closeRegion(const Napi::CallbackInfo& info) { Regions::of(info.Env()).close(info.Env(), integerAt(info, 0)); }

std::shared_ptr<Region> regionAt(Napi::Env env, double id) {
  auto& byId = Regions::of(env).byId;
  auto found = byId.find(static_cast<uint64_t>(id));
  if (found == byId.end()) throw Napi::RangeError::New(env, "no such region");
  return found->second;
}

/** Reads the words of JavaScript's moves, and checks every range. */
class MoveReader {
 public:
  MoveReader(Napi::Env env, const Napi::Float64Array& words) : env_(env), word_(words.Data()), end_(word_ + words.ElementLength()) {}

  bool more() const { return word_ < end_; }

  Move next() {
    need(kMoveWords);
    Move move;
    move.kind = static_cast<Move::Kind>(static_cast<uint8_t>(word_[0]));
    if (!(word_[0] >= 0 && word_[0] <= 3)) refuse("no such kind of move");
    move.memory = borrowMemory(env_, word_[1], word_[2], word_[3]);
    auto start = static_cast<size_t>(word_[2]);
    auto length = static_cast<size_t>(word_[3]);
    double target = word_[4];
    double targetOffset = word_[5];
    move.checksum = word_[6] != 0;
    if (!isCount(word_[7])) refuse("no such number of blocks");
    auto count = static_cast<size_t>(word_[7]);
    word_ += kMoveWords;
    uint64_t bytes = 0;
    move.blocks.reserve(std::min<size_t>(count, static_cast<size_t>(end_ - word_) / kBlockWords));
    for (size_t i = 0; i < count; ++i) bytes += readBlocks(move, start, length);
    aim(move, target, targetOffset, bytes);
    return move;
  }

 private:
  [[noreturn]] void refuse(const char* what) { throw Napi::RangeError::New(env_, what); }

  void need(size_t words) {
    if (static_cast<size_t>(end_ - word_) < words) refuse("the moves are incomplete");
  }

  static bool isCount(double value) { return value >= 0 && value <= 9007199254740991.0; }

  uint64_t readBlocks(Move& move, size_t start, size_t length) {
    need(kBlockWords);
    for (size_t i = 0; i < kBlockWords; ++i)
      if (!isCount(word_[i])) refuse("a range is not a range");
    Blocks blocks{static_cast<size_t>(word_[0]), static_cast<size_t>(word_[1]), static_cast<size_t>(word_[2]),
                  static_cast<size_t>(word_[3])};
    word_ += kBlockWords;
    double last = static_cast<double>(blocks.offset) +
                  (blocks.count == 0 ? 0 : static_cast<double>(blocks.count - 1) * static_cast<double>(blocks.stride)) +
                  static_cast<double>(blocks.block);
    double bytes = static_cast<double>(blocks.count) * static_cast<double>(blocks.block);
    if (last > static_cast<double>(length) || bytes > 4294967296.0) refuse("a range lies outside its memory");
    blocks.offset += start;
    move.blocks.push_back(blocks);
    return blocks.bytes();
  }

  void aim(Move& move, double target, double offset, uint64_t bytes) {
    if (move.kind == Move::Kind::kCheck) return;
    if (!isCount(offset)) refuse("a target is not a place");
    move.targetOffset = static_cast<uint64_t>(offset);
    if (move.kind == Move::Kind::kGather) {
      move.target = borrowMemory(env_, target, offset, static_cast<double>(bytes));
      return;
    }
    move.region = regionAt(env_, target);
    if (!move.region->holds(move.targetOffset, bytes)) refuse("a target lies outside its region");
    bool one = move.blocks.size() == 1 && move.blocks[0].count == 1;
    if (move.kind == Move::Kind::kPull && !one) refuse("what is pulled goes to one place");
  }

  Napi::Env env_;
  const double* word_;
  const double* end_;
};

/** Batches that are whole once all has moved. */
struct Batches {
  MemoryRef memory;
  std::vector<RecordsRange> ranges;  // of the block
  size_t referenceMinBytes = SIZE_MAX;

  /** The records section that a move without a checksum takes from a client, which the check of its batch sums; null for another move. */
  const uint8_t* sectionOf(const Move& move) const {
    if (!memory || move.kind != Move::Kind::kPull || move.checksum || move.memory.handle() != memory.handle()) return nullptr;
    size_t at = move.blocks.front().offset;
    auto isBehind = [](size_t offset, const RecordsRange& range) { return offset < range.offset; };
    auto next = std::upper_bound(ranges.begin(), ranges.end(), at, isBehind);
    if (next == ranges.begin()) return nullptr;
    size_t section = std::prev(next)->offset + kBatchHeaderBytes;
    return section <= at ? memory.data() + section : nullptr;
  }
};

/** Of handle, least size of a record that gets a reference (negative: none), then offset and length of each batch; empty without words. */
Batches batchesOf(Napi::Env env, const Napi::Value& value) {
  Batches batches;
  if (value.IsUndefined()) return batches;
  auto words = value.As<Napi::Float64Array>();
  size_t count = words.ElementLength();
  for (size_t i = 2; i + 1 < count; i += 2) {
    batches.memory = borrowMemory(env, words[0], words[i], words[i + 1]);
    batches.ranges.push_back({static_cast<size_t>(words[i]), static_cast<size_t>(words[i + 1])});
  }
  if (count > 1 && words[1] >= 0) batches.referenceMinBytes = static_cast<size_t>(words[1]);
  return batches;
}

// (id, words, batches that are checked when all has moved); completes with error and CRC of each move.
void moveAll(const Napi::CallbackInfo& info) {
  double id = numberAt(info, 0);
  auto moves = std::make_shared<std::vector<Move>>();
  MoveReader reader(info.Env(), info[1].As<Napi::Float64Array>());
  while (reader.more()) moves->push_back(reader.next());
  Batches batches = batchesOf(info.Env(), info[2]);
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, moves = std::move(moves), batches = std::move(batches), &completions]() mutable {
    auto results = std::make_shared<std::vector<Moved>>();
    Completion done;
    done.id = id;
    try {
      bool moved = true;
      KnownSums sums;
      for (size_t i = 0; i < moves->size(); ++i) {
        const Move& move = (*moves)[i];
        if (i + 1 < moves->size()) expect((*moves)[i + 1]);
        const uint8_t* section = batches.sectionOf(move);
        results->push_back(section ? Moved{pullSummed(move, section, sums)} : perform(move));
        moved &= results->back().error == 0;
      }
      uint64_t handle = batches.memory ? batches.memory.handle() : 0;
      std::shared_ptr<CheckedFrame> checked;
      if (moved && batches.memory) checked = checkRanges(batches.memory.data(), batches.ranges, batches.referenceMinBytes, sums);
      done.result = [results, handle, checked](Napi::Env env) {
        if (checked) arenaHolds(env).setChecked(handle, checked);
        auto array = Napi::Float64Array::New(env, results->size() * 2);
        for (size_t i = 0; i < results->size(); ++i) {
          array[2 * i] = (*results)[i].error;
          array[2 * i + 1] = (*results)[i].crc;
        }
        return array;
      };
    } catch (const std::bad_alloc&) {
      done.error = ENOMEM;
      done.message = "not enough memory to copy";
    }
    moves.reset();  // memory goes back before anyone hears of it
    batches.memory.reset();
    completions.push(std::move(done));
  });
}

}  // namespace

Regions& Regions::of(Napi::Env env) { return Environment::of(env).part<Regions>(); }

void Regions::close(Napi::Env env, uint64_t id) {
  auto found = byId.find(id);
  if (found == byId.end()) return;
  // To unmap a gigabyte takes milliseconds.
  Workers::post(env, [region = std::move(found->second)]() mutable { region.reset(); });
  byId.erase(found);
}

void initDirect(Napi::Env env, Napi::Object exports) {
  exports["regionClose"] = Napi::Function::New(env, closeRegion, "regionClose");
  exports["directMove"] = Napi::Function::New(env, moveAll, "directMove");
  initRegionSocket(env, exports);
  initSharedMemory(env, exports);
}

}  // namespace kafabric::binding
