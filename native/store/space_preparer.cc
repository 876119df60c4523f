#include "store/space_preparer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "store/aligned_memory.h"
#include "store/descriptor.h"
#include "store/io.h"

namespace kafabric {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;
/** Pauses are so many times as long as the writes before them. */
constexpr int kPause = 3;

}  // namespace

void SpacePreparer::prepare(const std::string& directory, uint64_t bytes, uint64_t fileBytes, bool buffered) {
  fileBytes = std::max(fileBytes, RecycledFiles::kMinBytes) / kPieceBytes * kPieceBytes;
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  try {
    if (!thread_) thread_ = std::make_unique<ThreadPool>(1);
  } catch (const std::system_error&) {
    return;  // there can be no more threads; nobody needs this one
  }
  thread_->post([this, directory, bytes, fileBytes, buffered] {
    while (!stopping_ && recycled_.keptIn(directory) + fileBytes <= bytes && prepareFile(directory, fileBytes, buffered)) continue;
  });
}

void SpacePreparer::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (thread_) thread_->stop();
}

bool SpacePreparer::prepareFile(const std::string& directory, uint64_t fileBytes, bool buffered) {
  if (!RecycledFiles::hasRoom(directory)) return false;
  Descriptor file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  if (file.fd < 0) return false;
  if (!buffered && enableDirect(file.fd, "/proc/self/fd/" + std::to_string(file.fd)) == 0) return false;
  return fill(file.fd, fileBytes) == 0 && !stopping_ && recycled_.adopt(directory, file.fd, fileBytes);
}

int SpacePreparer::fill(int fd, uint64_t bytes) {
  if (int error = allocateFully(fd, 0, 0, bytes)) return error;
  AlignedMemory zeros = allocateAligned(kPieceBytes);
  std::memset(zeros.get(), 0, kPieceBytes);
  for (uint64_t at = 0; at < bytes && !stopping_; at += kPieceBytes) {
    auto before = std::chrono::steady_clock::now();
    std::vector<iovec> parts{{zeros.get(), kPieceBytes}};
    size_t written = 0;
    int error = writeFully(fd, parts, at, written, kMaxBlockBytes);
    if (error != 0) return error;
    std::this_thread::sleep_for(kPause * (std::chrono::steady_clock::now() - before));
  }
  return 0;
}

}  // namespace kafabric
