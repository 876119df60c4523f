// How native threads tell JavaScript that there is something to collect.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/loop_handle.h"

namespace kafabric::binding {

/**
 * Calls one JavaScript function, without arguments, some time after signal(). Signals that come before the call
 * are one call: the callback collects everything that is there. It does not keep the process alive unless
 * ref() was called.
 *
 * Made, ref'd, unref'd and closed on the JavaScript thread. signal() may be called on any thread until the threads that
 * call it were joined, which must happen before close() and before the environment ends (see CleanupHook).
 *
 * A thread-safe function of Node-API does the same with a lock, which the signalled thread mostly found still held: two more thread changes.
 */
class Wakeup {
 public:
  /**
   * `name` is shown in Node's diagnostics. Exceptions thrown by `callback` are uncaught exceptions. `after`, if there is one, is called when the
   * promises that `callback` settled have been dealt with, too.
   */
  Wakeup(Napi::Env env, const char* name, Napi::Function callback, Napi::Function after = {});
  ~Wakeup() { close(); }
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  /** Never blocks. */
  void signal() noexcept;
  /** Calls at once what signal() calls; on the JavaScript thread, in a handle scope. */
  void call();
  void ref();
  void unref();
  /** No callback comes after this. */
  void close() noexcept;

 private:
  Napi::Env env_;
  Napi::FunctionReference callback_;
  Napi::FunctionReference after_;
  std::unique_ptr<Napi::AsyncContext> context_;
  LoopHandle* handle_;
};

}  // namespace kafabric::binding
