#include "binding/workers.h"

#include <algorithm>
#include <thread>

namespace kafabric::binding {

ThreadPool& Workers::poolOf(Napi::Env env) {
  Workers& workers = Environment::of(env).part<Workers>();
  if (!workers.pool_) {
    unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
    workers.pool_ = std::make_unique<ThreadPool>(threads);
    workers.hook_ = std::make_unique<CleanupHook>(env, [&workers] { workers.pool_->stop(); });
  }
  return *workers.pool_;
}

}  // namespace kafabric::binding
