#include "binding/workers.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "binding/completions.h"

namespace kafabric::binding {

void Workers::post(Napi::Env env, double id, std::function<void()> task) {
  post(env, [id, task = std::move(task), &completions = Completions::of(env)] { completions.run(id, task); });
}

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
