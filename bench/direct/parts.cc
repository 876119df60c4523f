// What memory alone needs for pulls of parts: a process copies a part of each event, and sums it, to memory that another shares, which sums it again. There
// are no messages but counters, no metadata and no JavaScript. See README.md.
//   direct-parts BYTES-OF-AN-EVENT SECONDS ROUNDS
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "batch/crc32c.h"
#include "direct/guarded_copy.h"
#include "measuring.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kArenaBytes = size_t{1} << 30;
/** As the client's in the benchmark. */
constexpr size_t kRingBytes = size_t{128} << 20;
/** As the client has them: a request of so much at most, so many under way. */
constexpr size_t kRequestBytes = size_t{4} << 20;
constexpr size_t kRequestEvents = 256;
constexpr size_t kInFlight = 4;

struct Part {
  const char* name;
  double share;
  /** Whether the copying side sums, too; a whole value has a checksum already. */
  bool summed;
};

constexpr Part kParts[] = {{"all", 1, false}, {"50 %", 0.5, true}, {"10 %", 0.1, true}, {"1 %", 0.01, true}, {"10 %, copied only", 0.1, false}};

uint8_t* shared(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<uint8_t*>(memory);
}

void post(int counter) {
  uint64_t one = 1;
  if (write(counter, &one, sizeof one) != sizeof one) std::abort();
}

/** One of a semaphore. */
void take(int counter) {
  uint64_t one;
  if (read(counter, &one, sizeof one) != sizeof one) std::abort();
}

/** What both processes know. */
struct Run {
  const uint8_t* arena;
  uint8_t* ring;
  uint32_t* sums;
  size_t eventBytes;
  size_t wanted;
  bool summed;
  /** Of one request, and requests that the ring has room for. */
  size_t events;
  size_t slots;
  size_t requests;

  uint8_t* slot(size_t request) const { return ring + (request % slots) * events * wanted; }
};

/** Copies what is asked for. */
void serve(const Run& run, int asked, int answered) {
  size_t event = 0;
  size_t inArena = kArenaBytes / run.eventBytes;
  for (size_t request = 0; request < run.requests; ++request) {
    take(asked);
    uint8_t* to = run.slot(request);
    for (size_t i = 0; i < run.events; ++i, to += run.wanted) {
      const uint8_t* from = run.arena + (event++ % inArena) * run.eventBytes;
      kafabric::direct::expectCopy(run.arena + (event % inArena) * run.eventBytes, run.wanted);
      uint32_t& sum = run.sums[(request % run.slots) * run.events + i];
      if (run.summed) sum = kafabric::direct::copyForOthers(to, from, run.wanted, 0);
      else kafabric::direct::copyForOthers(to, from, run.wanted);
    }
    post(answered);
  }
}

/** Sums what has come. Returns how many sums were not those of the other process. */
size_t check(const Run& run, int asked, int answered) {
  size_t wrong = 0;
  size_t sent = 0;
  while (sent < std::min(kInFlight, run.requests)) post(asked), ++sent;
  for (size_t request = 0; request < run.requests; ++request) {
    take(answered);
    if (sent < run.requests) post(asked), ++sent;
    const uint8_t* data = run.slot(request);
    for (size_t i = 0; i < run.events; ++i, data += run.wanted) {
      uint32_t sum = kafabric::crc32c(0, data, run.wanted);
      if (run.summed && sum != run.sums[(request % run.slots) * run.events + i]) ++wrong;
    }
  }
  return wrong;
}

struct Result {
  double micros;
  double served;
  double checked;
};

/** Microseconds of an event, and of the CPU at both ends. */
Result measure(Run run, size_t events) {
  run.events = std::clamp<size_t>(kRequestBytes / run.wanted, 1, kRequestEvents);
  run.requests = std::max<size_t>(events / run.events, 8);
  // What is under way, and what is being checked.
  run.slots = std::min(kRingBytes / (run.events * run.wanted), run.requests);
  if (run.slots <= kInFlight) std::abort();
  int asked = eventfd(0, EFD_SEMAPHORE);
  int answered = eventfd(0, EFD_SEMAPHORE);
  double before = cpuSeconds(RUSAGE_SELF);
  double children = cpuSeconds(RUSAGE_CHILDREN);
  auto from = Clock::now();
  pid_t server = fork();
  if (server == 0) {
    serve(run, asked, answered);
    _exit(0);
  }
  size_t wrong = check(run, asked, answered);
  double seconds = std::chrono::duration<double>(Clock::now() - from).count();
  int status = 0;
  if (waitpid(server, &status, 0) != server || status != 0 || wrong > 0) std::abort();
  close(asked);
  close(answered);
  double count = static_cast<double>(run.requests * run.events);
  double micros = 1e6 / count;
  return {seconds * micros, (cpuSeconds(RUSAGE_CHILDREN) - children) * micros, (cpuSeconds(RUSAGE_SELF) - before) * micros};
}

using Copy = void (*)(uint8_t* to, const uint8_t* from, size_t size);

/** Microseconds of an event that one thread copies, and nobody sums. */
double copyAlone(const uint8_t* arena, uint8_t* ring, size_t bytes, double seconds, Copy copy) {
  size_t count = 0;
  auto from = Clock::now();
  double passed = 0;
  for (; passed < seconds; ++count) {
    copy(ring + (count % (kRingBytes / bytes)) * bytes, arena + (count % (kArenaBytes / bytes)) * bytes, bytes);
    passed = std::chrono::duration<double>(Clock::now() - from).count();
  }
  return passed * 1e6 / static_cast<double>(count);
}

struct Alone {
  const char* name;
  Copy copy;
};

constexpr Alone kAlone[] = {
    {"memcpy", [](uint8_t* to, const uint8_t* from, size_t size) { std::memcpy(to, from, size); }},
    {"gateway's copy", [](uint8_t* to, const uint8_t* from, size_t size) { kafabric::direct::copyForOthers(to, from, size); }},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s BYTES-OF-AN-EVENT SECONDS ROUNDS\n", argv[0]);
    return 2;
  }
  auto bytes = static_cast<size_t>(std::atoll(argv[1]));
  double seconds = std::atof(argv[2]);
  int rounds = std::atoi(argv[3]);
  uint8_t* arena = shared(kArenaBytes);
  std::memset(arena, 7, kArenaBytes);
  uint8_t* ring = shared(kRingBytes);
  auto* sums = reinterpret_cast<uint32_t*>(shared(kRingBytes / 64));
  constexpr size_t kCount = std::size(kParts);
  std::vector<double> micros[kCount], served[kCount], checked[kCount], ratios[kCount], alone[std::size(kAlone)];
  for (int round = 0; round < rounds; ++round) {
    double whole = 0;
    for (size_t i = 0; i < std::size(kAlone); ++i) alone[i].push_back(copyAlone(arena, ring, bytes, seconds, kAlone[i].copy));
    for (size_t i = 0; i < kCount; ++i) {
      const Part& part = kParts[i];
      Run run{arena, ring, sums, bytes, static_cast<size_t>(static_cast<double>(bytes) * part.share), part.summed, 0, 0, 0};
      double expected = whole > 0 ? whole * part.share : static_cast<double>(bytes) / 9000;
      Result result = measure(run, static_cast<size_t>(seconds * 1e6 / expected));
      if (i == 0) whole = result.micros;
      micros[i].push_back(result.micros);
      served[i].push_back(result.served);
      checked[i].push_back(result.checked);
      ratios[i].push_back(result.micros / (whole * part.share));
    }
  }
  std::printf("of each event of %zu bytes | us | CPU of who copies, who checks | time over the same part of all's (lowest to highest)\n", bytes);
  for (size_t i = 0; i < kCount; ++i) {
    auto [low, high] = std::minmax_element(ratios[i].begin(), ratios[i].end());
    std::printf("%s | %.2f | %.2f, %.2f | %.2f (%.2f to %.2f)\n", kParts[i].name, medianOf(micros[i]), medianOf(served[i]),
                medianOf(checked[i]), medianOf(ratios[i]), *low, *high);
  }
  for (size_t i = 0; i < std::size(kAlone); ++i) std::printf("%s, one thread | %.2f\n", kAlone[i].name, medianOf(alone[i]));
  return 0;
}
