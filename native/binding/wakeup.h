// How native threads tell JavaScript that there is something to collect.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <utility>

namespace kafabric::binding {

/**
 * Calls one JavaScript function, without arguments, some time after signal(). Signals that come before the call
 * are one call: the callback collects everything that is there. It does not keep the process alive unless
 * ref() was called.
 *
 * Made, ref'd, unref'd and closed on the JavaScript thread. signal() may be called on any thread until the threads that
 * call it were joined, which must happen before close() and before the environment ends (see CleanupHook).
 */
class Wakeup {
 public:
  /** `name` is shown in Node's diagnostics. Exceptions thrown by `callback` are uncaught exceptions. */
  static std::unique_ptr<Wakeup> create(Napi::Env env, const char* name, Napi::Function callback);
  ~Wakeup() { close(); }
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  /** Never blocks; has no effect once the environment is ending. */
  void signal() noexcept;
  void ref(Napi::Env env);
  void unref(Napi::Env env);
  /** No callback comes after this. */
  void close() noexcept;

 private:
  struct State;
  static void call(Napi::Env env, Napi::Function callback, State* state, void* data);
  using Function = Napi::TypedThreadSafeFunction<State, void, call>;

  explicit Wakeup(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;  // the function holds it too, until no call can be under way
};

}  // namespace kafabric::binding
