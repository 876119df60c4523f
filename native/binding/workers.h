// The threads of one environment for work that would hold up JavaScript: checking, compressing, scanning.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "binding/environment.h"
#include "store/thread_pool.h"

namespace kafabric::binding {

class Workers {
 public:
  /** Runs `task` on a worker thread; they are started by the first task and joined when the environment ends. */
  static void post(Napi::Env env, std::function<void()> task) { poolOf(env).post(std::move(task)); }
  /** As above, of a task that pushes a completion with this id: see Completions::run. */
  static void post(Napi::Env env, double id, std::function<void()> task);
  /** The threads themselves, for whoever posts from a thread of his own; they stop when the environment ends. */
  static ThreadPool& poolOf(Napi::Env env);

 private:
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<CleanupHook> hook_;
};

}  // namespace kafabric::binding
