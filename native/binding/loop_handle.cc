#include "binding/loop_handle.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

namespace kafabric::binding {

LoopHandle::LoopHandle(Napi::Env env, LoopHandleType type,
                       const std::function<int(uv_loop_s*, uv_handle_s*)>& init, std::function<void()> onEvent)
    : env_(env), onEvent_(std::move(onEvent)) {
  std::unique_ptr<void, void (*)(void*)> memory(std::malloc(uv_handle_size(static_cast<int>(type))), std::free);
  handle_ = static_cast<uv_handle_s*>(memory.get());
  if (!handle_) throw std::bad_alloc();
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok || init(loop, handle_) != 0) {
    throw Napi::Error::New(env, "the event loop takes no more handles");
  }
  memory.release();
  uv_handle_set_data(handle_, this);
  uv_unref(handle_);
  // The environment must not end before its loop has closed the handle.
  auto end = [](napi_async_cleanup_hook_handle, void* data) { static_cast<LoopHandle*>(data)->close(); };
  napi_add_async_cleanup_hook(env, end, this, &hook_);
}

LoopHandle::~LoopHandle() { std::free(handle_); }

void LoopHandle::ready(uv_handle_s* handle) {
  auto* self = static_cast<LoopHandle*>(uv_handle_get_data(handle));
  if (self->closing_) return;
  Napi::HandleScope scope(self->env_);
  self->onEvent_();
}

void LoopHandle::close() {
  if (closing_) return;
  closing_ = true;
  uv_close(handle_, closed);
}

void LoopHandle::closed(uv_handle_s* handle) {
  auto* self = static_cast<LoopHandle*>(uv_handle_get_data(handle));
  napi_async_cleanup_hook_handle hook = self->hook_;
  delete self;
  if (hook) napi_remove_async_cleanup_hook(hook);
}

}  // namespace kafabric::binding
