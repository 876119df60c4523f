// What the device takes by itself: files of a segment's size, written as the store writes them (direct I/O, large pieces, from memory that was
// there before), by two threads so that it never waits for one. First in new space, allocated ahead as the store does; then the same files
// again, made zero before, as segments begin that take the space of removed ones.
//
//   device <directory> <seconds>     prints GB/s in new space, and in space that was written before
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr off_t kFileBytes = 512 << 20;
constexpr off_t kStepBytes = 64 << 20;
constexpr off_t kPieceBytes = 4 << 20;
constexpr int kThreads = 2;
/** More than caches of the processor hold, as in a store. */
constexpr off_t kMemoryBytes = 128 << 20;

[[noreturn]] void fail(const char* what) {
  perror(what);
  exit(1);
}

void allocate(int file, int mode, off_t at, off_t length) {
  if (fallocate(file, mode, at, length) != 0) fail("fallocate");
}

void write(int file, const uint8_t* memory, off_t at, bool isNew) {
  if (isNew && at % kStepBytes == 0) allocate(file, 0, at, kStepBytes);
  if (pwrite(file, memory + at % kMemoryBytes, kPieceBytes, at) != kPieceBytes) fail("pwrite");
}

/** One file, by all threads. */
void fill(int file, const uint8_t* memory, bool isNew) {
  if (!isNew) allocate(file, FALLOC_FL_ZERO_RANGE, 0, kFileBytes);
  std::atomic<off_t> next{0};
  auto run = [&] {
    for (off_t at = 0; (at = next.fetch_add(kPieceBytes)) < kFileBytes;) write(file, memory, at, isNew);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(run);
  for (std::thread& thread : threads) thread.join();
}

/** GB/s over whole files, for about so long; opens as many files as it needs. */
double rate(const std::string& directory, double seconds, const uint8_t* memory, std::vector<int>& files, bool isNew) {
  auto began = std::chrono::steady_clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  double bytes = 0;
  for (size_t i = 0; elapsed() < seconds; ++i) {
    if (isNew) files.push_back(open(directory.c_str(), O_TMPFILE | O_RDWR | O_DIRECT, 0600));
    int file = files[i % files.size()];
    if (file < 0) fail("open");
    fill(file, memory, isNew);
    bytes += kFileBytes;
  }
  return bytes / elapsed() / 1e9;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3 || atof(words[2]) <= 0) return 2;
  int shared = memfd_create("device", MFD_CLOEXEC);
  if (shared < 0 || ftruncate(shared, kMemoryBytes) != 0) fail("memfd_create");
  void* mapped = mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  memset(mapped, 7, kMemoryBytes);
  auto* memory = static_cast<const uint8_t*>(mapped);
  std::vector<int> files;
  double fresh = rate(words[1], atof(words[2]), memory, files, true);
  double again = rate(words[1], atof(words[2]), memory, files, false);
  printf("%f %f\n", fresh, again);
}
