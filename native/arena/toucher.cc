#include "arena/toucher.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "arena/mapping.h"

namespace kafabric {

namespace {

// The kernel holds the process's address space for one step, and at this priority a step can take a hundred times as long on a
// busy machine: 256 KiB are 0.1 ms of work. SCHED_IDLE would hold it longer still.
constexpr size_t kStepBytes = size_t{256} << 10;
constexpr int kLowestPriority = 19;

}  // namespace

void Toucher::start() {
  std::lock_guard lock(mutex_);
  if (thread_.joinable()) return;
  stopping_ = false;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    // Without the thread, pages are made present as they are used.
  }
}

void Toucher::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Toucher::run() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLowestPriority);
  for (size_t at = touched_; at < bytes_ && !stopping_;) {
    size_t wanted = std::min(at + kStepBytes, bytes_);
    size_t end = std::min(ready_(wanted), wanted);
    if (end <= at || !populatePages(base_ + at, end - at)) return;
    touched_ = at = end;
  }
}

}  // namespace kafabric
