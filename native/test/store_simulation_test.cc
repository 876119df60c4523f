// A file under random operations and faults of the disk, beside what it must hold.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>

#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kSharedBytes = size_t{3} << 20;
constexpr size_t kMaxFileBytes = size_t{6} << 20;

StoreOptions optionsOf(bool direct, uint32_t seed) {
  StoreOptions options;
  options.threads = 2;
  options.direct = direct;
  options.writeDelay = std::chrono::milliseconds(seed % 4);
  return options;
}

class Simulation {
 public:
  Simulation(bool direct, uint32_t seed)
      : random_(seed),
        fixture_(optionsOf(direct, seed), kSharedBytes, {"test-simulation-" + std::to_string(::getpid())}),
        file_(fixture_.open()) {}

  void step() {
    if (pick(3) == 0) breakDisk();
    std::vector<Operation> operations(1 + pick(10));
    for (Operation& operation : operations) start(operation, &operation == operations.data());
    for (Operation& operation : operations) finish(operation);
    faults.reset();
    if (poisoned_) CHECK_EQ(truncate(*file_, model_.size()).message, "");
    poisoned_ = failed_ = false;
    if (pick(4) == 0) fixture_.arena.allocate(kSharedBytes / 2);  // the cache gives way
    for (int i = 0; i < 3; ++i) read();
    if (pick(3) == 0) check();
    if (pick(12) == 0) reopen();
    if (model_.size() > kMaxFileBytes) {
      CHECK(truncate(*file_, 0).ok());
      model_.clear();
    }
    end_ = safe_ = model_.size();
  }

  /** How many appends were acknowledged from memory, and how many failed. */
  uint64_t acknowledged() { return fixture_.store.counters().acknowledged; }
  uint64_t failures() const { return failures_; }

 private:
  enum class Kind { append, sync, truncate, trim };
  struct Operation {
    Kind kind = Kind::append;
    std::string text;
    AppendResult result{};
    uint64_t size = 0;
    Outcome outcome;
  };

  size_t pick(size_t below) { return random_() % below; }

  void breakDisk() {
    switch (pick(6)) {
      case 0:
        faults.maxWriteBytes = 1 + pick(20'000);
        break;
      case 1:
        faults.interruptions = static_cast<int>(pick(20));
        break;
      case 2:
        faults.flushError = EIO;
        break;
      case 3:
        faults.truncateError = EIO;
        break;
      default:
        faults.writableBytes = pick(2) * pick(200'000);
        faults.writeError = pick(2) == 0 ? ENOSPC : EIO;
    }
    if (pick(3) == 0) faults.allocateError = ENOSPC;
  }

  /** `extends`: the end of the file is certain. */
  void start(Operation& operation, bool extends) {
    size_t kind = pick(20);
    if (kind < 15) return startAppend(operation);
    if (kind < 17) {
      operation.kind = Kind::sync;
      file_->sync(operation.outcome.done());
    } else if (kind < 19) {
      operation.kind = Kind::truncate;
      operation.size = safe_ - std::min<uint64_t>(safe_, pick(50'000));
      if (extends && pick(3) == 0) operation.size = end_ + pick(5000);
      end_ = operation.size;
      safe_ = std::min(safe_, end_);
      file_->truncate(operation.size, operation.outcome.done());
    } else {
      operation.kind = Kind::trim;
      file_->trim(operation.outcome.done());
    }
  }

  void startAppend(Operation& operation) {
    operation.text.resize(pick(4) == 0 ? pick(200'000) : pick(3000));
    for (char& byte : operation.text) byte = static_cast<char>(random_());
    std::vector<AppendPart> all = parts(operation.text);
    MemoryRef memory = pick(2) == 0 ? fixture_.arena.allocate(operation.text.size() + 100) : MemoryRef();
    if (memory) {
      all[0] = {memory.data() + pick(2) * 61, operation.text.size(), memory};
      std::memcpy(const_cast<uint8_t*>(all[0].bytes), operation.text.data(), operation.text.size());
    }
    AppendOptions options{pick(2) == 0, pick(3) > 0};
    operation.result = file_->append(all, options, operation.outcome.done());
    CHECK(operation.result.position >= end_);
    end_ = operation.result.position + operation.text.size();
  }

  void finish(Operation& operation) {
    bool good = operation.result.acknowledged || operation.outcome.wait().ok();
    if (!good) ++failures_;
    poisoned_ |= !good;
    if (operation.kind == Kind::truncate) {
      if (good || operation.size < model_.size()) model_.resize(operation.size);
      failed_ = !good;
      return;
    }
    if (operation.kind != Kind::append) {
      failed_ |= !good && operation.kind == Kind::trim;  // a flush may fail later than what is behind it succeeds
      return;
    }
    // Nothing succeeds behind what has failed.
    CHECK(!good || !failed_);
    failed_ |= !good;
    if (!good) return;
    if (operation.result.position > model_.size()) gaps_[model_.size()] = operation.result.position;
    model_.resize(operation.result.position);
    model_ += operation.text;
  }

  void read() {
    uint64_t position = pick(model_.size() + 100);
    size_t length = pick(100'000);
    std::string expected = position < model_.size() ? model_.substr(position, length) : "";
    std::string text = fixture_.textAt(file_, position, length);
    // A gap is not in memory: it can be read when it is written.
    if (inGap(position + text.size())) expected.resize(text.size());
    CHECK(text == expected);
    std::vector<MemoryPiece> pieces;
    if (!fixture_.store.reader().find(*file_, position, length, pick(2) == 0, pieces)) return;
    std::string found;
    for (const MemoryPiece& piece : pieces) found.append(reinterpret_cast<const char*>(piece.bytes), piece.length);
    CHECK_EQ(found.size(), length);
    CHECK(found == model_.substr(position, length));
  }

  bool inGap(uint64_t position) const {
    auto next = gaps_.upper_bound(position);
    return next != gaps_.begin() && std::prev(next)->second > position;
  }

  void check() {
    // What was acknowledged may have been refused later: it is written now.
    if (!sync(*file_).ok()) CHECK_EQ(truncate(*file_, model_.size()).message, "");
    CHECK_EQ(sync(*file_).message, "");
    CHECK(written(*file_) == model_);
    gaps_.clear();
    CHECK_EQ(fixture_.store.counters().queuedBytes.load(), 0u);
    CHECK_EQ(fixture_.store.journal()->stats().entries, 0u);
  }

  void reopen() {
    CHECK(close(*file_).ok());
    CHECK(content(fixture_.path()) == model_);
    file_ = fixture_.open();
    CHECK_EQ(file_->written(), model_.size());
  }

  std::mt19937 random_;
  StoreFixture fixture_;
  std::shared_ptr<StoreFile> file_;
  std::string model_;
  std::map<uint64_t, uint64_t> gaps_;  // start and end
  uint64_t end_ = 0;
  uint64_t safe_ = 0;  // no append may fail below, and leave something there
  bool failed_ = false;    // an operation, and no truncate behind it has succeeded
  bool poisoned_ = false;  // perhaps
  uint64_t failures_ = 0;
};

void simulate(bool direct) {
  uint64_t acknowledged = 0;
  uint64_t failures = 0;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    Simulation simulation(direct, seed);
    try {
      for (int i = 0; i < 60; ++i) simulation.step();
    } catch (const std::exception& error) {
      throw std::runtime_error("seed " + std::to_string(seed) + ": " + error.what());
    }
    acknowledged += simulation.acknowledged();
    failures += simulation.failures();
  }
  CHECK(failures > 0);
  CHECK_EQ(acknowledged > 0, direct);
}

}  // namespace

TEST(store_simulation_through_the_page_cache) { simulate(false); }

TEST(store_simulation_past_the_page_cache) { simulate(true); }
