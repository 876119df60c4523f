#include "store/direct_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "store/io.h"
#include "test/store_fixture.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr size_t kMaxPartBytes = size_t{3} << 20;
constexpr size_t kMinAlignedBytes = 16 << 10;

/** A file that is written as StoreFile does, beside what it must hold. */
class Simulation {
 public:
  explicit Simulation(uint32_t seed) : random_(seed), source_(allocateAligned(kMaxPartBytes + 2 * kMaxBlockBytes)) {
    for (size_t i = 0; i < kMaxPartBytes + 2 * kMaxBlockBytes; ++i) source_[i] = static_cast<uint8_t>(random_());
    open();
  }
  ~Simulation() {
    ::close(fd_);
    std::filesystem::remove_all(directory_);
  }

  void run() {
    if (pick(5) == 0) {
      ::close(fd_);
      open();
    }
    if (pick(3) == 0) faults.maxWriteBytes = (1 + pick(300)) * kMaxBlockBytes;
    if (pick(4) == 0) {
      faults.writableBytes = pick(2) == 0 ? 0 : pick(2 << 20);
      faults.writeError = pick(2) == 0 ? ENOSPC : EIO;
    }
    append();
    faults.reset();
    check();
  }

 private:
  size_t pick(size_t below) { return random_() % below; }
  size_t pickLength() {
    constexpr size_t kLimits[] = {3, 600, 5000, 70'000, 70'000, kMaxPartBytes};
    return pick(kLimits[pick(6)] + 1);
  }

  void open() {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd_ >= 0);
    block_ = enableDirect(fd_, path_);
    if (block_ == 0) block_ = kMaxBlockBytes;  // whole blocks, through the page cache
    tail_ = std::make_unique<BlockTail>();
  }

  struct Part {
    uint64_t position;
    const uint8_t* bytes;
    size_t length;
  };
  Part nextPart() {
    Part part{model_.size(), source_.get() + pick(2 * kMaxBlockBytes), pickLength()};
    if (pick(2) == 0) part.bytes = source_.get() + pick(2) * kMaxBlockBytes;
    if (part.length < kMinAlignedBytes || pick(2) == 0) return part;
    part.position = roundUp(part.position, block_) + reinterpret_cast<uintptr_t>(part.bytes) % block_;
    return part;
  }

  void append() {
    uint64_t end = model_.size();
    Part first = nextPart();
    DirectWriter writer(fd_, block_, first.position, end, *tail_);
    int error = 0;
    size_t count = 1 + pick(6);
    for (size_t i = 0; i < count && error == 0; ++i) {
      Part part = i == 0 ? first : nextPart();
      model_.resize(part.position);
      model_.append(reinterpret_cast<const char*>(part.bytes), part.length);
      error = writer.add(part.position, part.bytes, part.length);
    }
    if (error == 0) error = writer.finish();
    if (error == 0) {
      CHECK_EQ(writer.written(), model_.size());
      return;
    }
    CHECK_EQ(error, faults.writeError.load());
    CHECK(writer.written() >= first.position && writer.written() <= model_.size());
    // What failed before the first byte has made no gap either.
    model_.resize(writer.written() == first.position ? end : writer.written());
    tail_->forget();
    CHECK_EQ(::ftruncate(fd_, static_cast<off_t>(model_.size())), 0);
  }

  void check() {
    std::string all = content(path_);
    CHECK(all.size() >= model_.size());
    CHECK(all.size() <= roundUp(model_.size(), block_));
    CHECK(std::equal(model_.begin(), model_.end(), all.begin()));
    CHECK_EQ(all.find_first_not_of('\0', model_.size()), std::string::npos);
    if (model_.size() < (size_t{8} << 20)) return;
    model_.clear();
    tail_->forget();
    CHECK_EQ(::ftruncate(fd_, 0), 0);
  }

  FaultScope scope_;
  std::mt19937 random_;
  std::string directory_ = makeDirectory();
  std::string path_ = directory_ + "/file";
  AlignedMemory source_;
  std::string model_;
  std::unique_ptr<BlockTail> tail_;
  int fd_ = -1;
  size_t block_ = 0;
};

}  // namespace

TEST(direct_writer_writes_what_is_added) {
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    Simulation simulation(seed);
    for (int i = 0; i < 60; ++i) simulation.run();
  }
}

TEST(direct_writer_keeps_zeros_behind_a_tail_that_it_reads) {
  FaultScope scope;
  std::string directory = makeDirectory();
  std::string path = directory + "/file";
  std::ofstream(path) << std::string(700, 'a');
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  size_t block = std::max<size_t>(enableDirect(fd, path), 512);
  BlockTail tail;
  auto write = [&](uint64_t position, const std::string& text) {
    DirectWriter writer(fd, block, position, position, tail);
    CHECK_EQ(writer.add(position, reinterpret_cast<const uint8_t*>(text.data()), text.size()), 0);
    CHECK_EQ(writer.finish(), 0);
    CHECK_EQ(writer.written(), position + text.size());
  };
  write(700, "bc");
  write(702, "d");
  std::string expected = std::string(700, 'a') + "bcd";
  expected.resize(roundUp(703, block));
  CHECK_EQ(content(path), expected);
  // The tail is not known any more, and cannot be read.
  tail.forget();
  faults.readError = EIO;
  DirectWriter writer(fd, block, 703, 703, tail);
  CHECK_EQ(writer.add(703, reinterpret_cast<const uint8_t*>("e"), 1), EIO);
  CHECK_EQ(writer.written(), 703u);
  ::close(fd);
  std::filesystem::remove_all(directory);
  CHECK_EQ(expected.size() % block, 0u);
}
