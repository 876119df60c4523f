// How work that native threads finished reaches JavaScript: collected, and fetched in one call per wake-up.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "binding/environment.h"
#include "binding/wakeup.h"

namespace kafabric::binding {

/** The end of one operation; `id` was given by JavaScript. */
struct Completion {
  double id = 0;
  int error = 0;                                 // an errno value, or 0
  std::string message;                           // of the error
  std::function<Napi::Value(Napi::Env)> result;  // made on the JavaScript thread; none: null
};

/** One for each environment. Threads that push must have been joined when the environment ends. */
class Completions {
 public:
  static Completions& of(Napi::Env env);

  /** Any thread. */
  void push(Completion completion);
  /** On any thread: `task`, which pushes the end of the operation; when there is no memory for it, that is the end. */
  void run(double id, const std::function<void()>& task);
  /** An Error with `code` ("ENOSPC") and `errno`, for those who throw at once. */
  static Napi::Error error(Napi::Env env, int error, const std::string& message);

 private:
  friend void initCompletions(Napi::Env env, Napi::Object exports);
  Napi::Value take(Napi::Env env);
  static Napi::Value outcomeOf(Napi::Env env, const Completion& completion);

  std::mutex mutex_;
  std::vector<Completion> done_;
  std::unique_ptr<Wakeup> wakeup_;
  std::unique_ptr<CleanupHook> hook_;  // registered before those of the threads that push, so it runs after them
};

void initCompletions(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
