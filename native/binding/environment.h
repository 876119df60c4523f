// What the addon keeps for each Node environment (the main thread and each worker has its own).
//
// Lifetime rules for all bindings:
// * Nothing that holds a napi value is global: it lives in a part of the Environment, or in a wrapped object.
// * A part with threads registers a CleanupHook after creating its Wakeup. Hooks run in reverse order, so the threads
//   are stopped and joined before Node tears the Wakeup down. Parts themselves are destroyed after all hooks.
// * JavaScript holds arena memory through ArenaHolds, which gives back what a dying environment still held.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <typeindex>
#include <utility>
#include <vector>

namespace kafabric::binding {

class Environment {
 public:
  static void install(Napi::Env env) { env.SetInstanceData(new Environment); }
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  /** The environment's own T, made with its default constructor on first use. */
  template <typename T>
  T& part() {
    for (auto& [type, part] : parts_) {
      if (type == std::type_index(typeid(T))) return *static_cast<T*>(part.get());
    }
    auto part = std::make_shared<T>();
    parts_.emplace_back(std::type_index(typeid(T)), part);
    return *part;
  }

 private:
  std::vector<std::pair<std::type_index, std::shared_ptr<void>>> parts_;
};

/** Runs `action` on the environment's thread when the environment ends, unless destroyed before. */
class CleanupHook {
 public:
  CleanupHook(Napi::Env env, std::function<void()> action) : env_(env), action_(std::move(action)) {
    napi_add_env_cleanup_hook(env_, run, this);
  }
  ~CleanupHook() {
    if (!ran_) napi_remove_env_cleanup_hook(env_, run, this);
  }
  CleanupHook(const CleanupHook&) = delete;
  CleanupHook& operator=(const CleanupHook&) = delete;

 private:
  static void run(void* self) {
    auto* hook = static_cast<CleanupHook*>(self);
    hook->ran_ = true;
    hook->action_();
  }

  napi_env env_;
  std::function<void()> action_;
  bool ran_ = false;
};

}  // namespace kafabric::binding
