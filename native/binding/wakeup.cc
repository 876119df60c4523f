#include "binding/wakeup.h"

namespace kafabric::binding {

Wakeup::Wakeup(Napi::Env env, const char* name, Napi::Function callback, Napi::Function after)
    : env_(env),
      callback_(Napi::Persistent(callback)),
      after_(after.IsEmpty() ? Napi::FunctionReference() : Napi::Persistent(after)),
      context_(std::make_unique<Napi::AsyncContext>(env, name)),
      handle_(new LoopHandle(
          env, LoopHandleType::kAsync,
          [](uv_loop_s* loop, uv_handle_s* handle) { return uv_async_init(loop, handle, LoopHandle::ready); },
          [this] { call(); })) {}

void Wakeup::call() {
  if (!handle_) return;
  try {
    callback_.MakeCallback(env_.Global(), {}, *context_);
    // The callback may have closed this.
    if (handle_ && !after_.IsEmpty()) after_.Call({});
  } catch (const Napi::Error& error) {
    // Left to itself, Node would only print a warning.
    napi_fatal_exception(env_, error.Value());
  }
}

void Wakeup::signal() noexcept {
  if (handle_) uv_async_send(handle_->get());
}

void Wakeup::ref() {
  if (handle_) uv_ref(handle_->get());
}

void Wakeup::unref() {
  if (handle_) uv_unref(handle_->get());
}

void Wakeup::close() noexcept {
  if (!handle_) return;
  handle_->close();
  handle_ = nullptr;
  callback_.Reset();
  after_.Reset();
}

}  // namespace kafabric::binding
