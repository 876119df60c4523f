// What it costs a client to be handed memory of another process and to hand it over written, beside having it copied: pages are let be written to, and no
// longer, where a copy reads and writes the bytes. See README.md.
//   direct-hand-over BYTES SECONDS ROUNDS
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "direct/guarded_copy.h"
#include "measuring.h"

namespace {

constexpr size_t kArenaBytes = size_t{1} << 30;
constexpr size_t kPageBytes = 4096;
#ifdef MADV_POPULATE_READ
constexpr int kPopulateRead = MADV_POPULATE_READ;
#else
constexpr int kPopulateRead = 22;
#endif

void orDie(bool done) {
  if (!done) std::abort();
}

/** Microseconds of CPU of one call, of as many as `seconds` allow, each for the next range of the arena. */
template <typename Work>
double measure(size_t bytes, double seconds, Work work) {
  size_t calls = 0;
  double from = cpuSeconds(RUSAGE_SELF);
  double used = 0;
  size_t ranges = kArenaBytes / bytes;
  for (; used < seconds; used = cpuSeconds(RUSAGE_SELF) - from)
    for (int i = 0; i < 16; ++i) work((calls++ % ranges) * bytes);
  return used * 1e6 / static_cast<double>(calls);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s BYTES SECONDS ROUNDS\n", argv[0]);
    return 2;
  }
  size_t bytes = static_cast<size_t>(std::atoll(argv[1])) / kPageBytes * kPageBytes;
  double seconds = std::atof(argv[2]);
  int rounds = std::atoi(argv[3]);
  int fd = memfd_create("arena", 0);
  orDie(bytes > 0 && fd >= 0 && ftruncate(fd, kArenaBytes) == 0);
  // As the gateway has it, and as a client does that has used all of it before.
  auto* arena = static_cast<uint8_t*>(mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0));
  auto* lent = static_cast<uint8_t*>(mmap(nullptr, kArenaBytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0));
  orDie(arena != MAP_FAILED && lent != MAP_FAILED);
  std::memset(arena, 7, kArenaBytes);
  auto* own = static_cast<uint8_t*>(std::aligned_alloc(kPageBytes, size_t{64} << 20));
  std::memset(own, 1, size_t{64} << 20);
  std::vector<double> first, again, copied;
  for (int round = 0; round < rounds; ++round) {
    auto handOver = [&](size_t at, bool isNew) {
      orDie(mprotect(lent + at, bytes, PROT_READ | PROT_WRITE) == 0);
      if (isNew) madvise(lent + at, bytes, kPopulateRead);
      orDie(mprotect(lent + at, bytes, PROT_NONE) == 0);
    };
    // Pages that this mapping has not, in each round: the first time they are lent.
    madvise(lent, kArenaBytes, MADV_DONTNEED);
    double from = cpuSeconds(RUSAGE_SELF);
    size_t ranges = kArenaBytes / bytes;
    for (size_t i = 0; i < ranges; ++i) handOver(i * bytes, true);
    first.push_back((cpuSeconds(RUSAGE_SELF) - from) * 1e6 / static_cast<double>(ranges));
    again.push_back(measure(bytes, seconds, [&](size_t at) { handOver(at, false); }));
    size_t slots = (size_t{64} << 20) / bytes;
    size_t slot = 0;
    copied.push_back(measure(bytes, seconds, [&](size_t at) {
      kafabric::direct::copyForOthers(arena + at, own + (slot++ % slots) * bytes, bytes, 0);
    }));
  }
  std::printf("%zu bytes, CPU us: handed over %.1f the first time, %.1f again; copied and summed %.1f\n", bytes, medianOf(first),
              medianOf(again), medianOf(copied));
  return 0;
}
