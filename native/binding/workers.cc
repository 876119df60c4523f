#include "binding/workers.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <thread>

namespace kafabric::binding {

ThreadPool& Workers::poolOf(Napi::Env env) {
  Workers& workers = Environment::of(env).part<Workers>();
  if (!workers.pool_) {
    unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
    try {
      workers.pool_ = std::make_unique<ThreadPool>(threads);
    } catch (const std::system_error& error) {
      throw Napi::Error::New(env, std::string("no threads to work with: ") + error.what());
    }
    workers.hook_ = std::make_unique<CleanupHook>(env, [&workers] { workers.pool_->stop(); });
  }
  return *workers.pool_;
}

}  // namespace kafabric::binding
