// Watches a file descriptor from Node's event loop.
#pragma once

#include <napi.h>

#include <functional>

#include "binding/loop_handle.h"

namespace kafabric::binding {

/**
 * Calls `onReadable` on the JavaScript thread, in a scope that allows calls into JavaScript, while it is started and the descriptor
 * is readable. It does not keep the process alive. JavaScript thread only; to be closed before the descriptor is.
 */
class LoopPoll {
 public:
  LoopPoll(Napi::Env env, int fd, std::function<void()> onReadable);
  ~LoopPoll() { close(); }
  LoopPoll(const LoopPoll&) = delete;
  LoopPoll& operator=(const LoopPoll&) = delete;

  /** Starts or stops; cheap when nothing changes. */
  void set(bool started);
  void close();

 private:
  LoopHandle* handle_;
  bool started_ = false;
};

}  // namespace kafabric::binding
