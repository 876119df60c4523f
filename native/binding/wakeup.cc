#include "binding/wakeup.h"

namespace kafabric::binding {

struct Wakeup::State {
  Function function;
  std::atomic<bool> pending{false};
  // After the first status that is not ok, another call into the function would abort the process.
  std::atomic<bool> ended{false};
};

void Wakeup::call(Napi::Env env, Napi::Function callback, State* state, void* /*data*/) {
  if (!env || !callback || state->ended.load(std::memory_order_relaxed)) return;
  // Cleared first: a signal during the callback causes another call.
  state->pending.store(false, std::memory_order_seq_cst);
  try {
    callback.Call({});
  } catch (const Napi::Error& error) {
    // Left to itself, Node would only print a warning.
    napi_fatal_exception(env, error.Value());
  }
}

std::unique_ptr<Wakeup> Wakeup::create(Napi::Env env, const char* name, Napi::Function callback) {
  auto state = std::make_shared<State>();
  auto finalize = [](Napi::Env, std::shared_ptr<State>* held, State* ending) {
    ending->ended.store(true);
    delete held;
  };
  auto* held = new std::shared_ptr<State>(state);
  state->function = Function::New(env, callback, name, 0, 1, state.get(), finalize, held);
  state->function.Unref(env);
  return std::unique_ptr<Wakeup>(new Wakeup(std::move(state)));
}

void Wakeup::signal() noexcept {
  if (state_->ended.load(std::memory_order_relaxed)) return;
  if (state_->pending.exchange(true, std::memory_order_seq_cst)) return;
  if (state_->function.NonBlockingCall() != napi_ok) state_->ended.store(true, std::memory_order_relaxed);
}

void Wakeup::ref(Napi::Env env) {
  if (!state_->ended.load()) state_->function.Ref(env);
}

void Wakeup::unref(Napi::Env env) {
  if (!state_->ended.load()) state_->function.Unref(env);
}

void Wakeup::close() noexcept {
  if (!state_->ended.exchange(true)) state_->function.Abort();
}

}  // namespace kafabric::binding
