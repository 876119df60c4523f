// For threads whose work nobody waits for, and that have locks of others for moments only: who loses the processor with one keeps it for long.
#pragma once

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kafabric {

/** Lets whoever serves clients go first before the calling thread. */
inline void lowerPriority() {
  constexpr int kLowPriority = 10;
  thread_local const bool lowered = ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLowPriority) == 0;
  (void)lowered;
}

}  // namespace kafabric
