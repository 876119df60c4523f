// A handle in Node's event loop, with the lifetime that loop and environment ask for.
#pragma once

#include <napi.h>

#include <functional>

// The part of libuv's stable interface that is used here: its header does not come with node-api-headers, the symbols come with Node.
extern "C" {
struct uv_loop_s;
struct uv_handle_s;
size_t uv_handle_size(int type);
void uv_handle_set_data(uv_handle_s* handle, void* data);
void* uv_handle_get_data(const uv_handle_s* handle);
int uv_async_init(uv_loop_s* loop, uv_handle_s* handle, void (*callback)(uv_handle_s* handle));
int uv_async_send(uv_handle_s* handle);
int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events, void (*callback)(uv_handle_s* handle, int status, int events));
int uv_poll_stop(uv_handle_s* handle);
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
void uv_close(uv_handle_s* handle, void (*closed)(uv_handle_s* handle));
}

namespace kafabric::binding {

/** Values of uv_handle_type. */
enum class LoopHandleType : int { kAsync = 1, kPoll = 8 };

/**
 * Deletes itself once the loop has closed it, which is later than close(); close() also comes with the end of the environment. It does not
 * keep the process alive unless ref'd. JavaScript thread only, except for uv_async_send.
 */
class LoopHandle {
 public:
  /** `init` is libuv's, for a handle of this type. `onEvent` is called in a handle scope. Throws Napi::Error. */
  LoopHandle(Napi::Env env, LoopHandleType type, const std::function<int(uv_loop_s*, uv_handle_s*)>& init,
             std::function<void()> onEvent);
  LoopHandle(const LoopHandle&) = delete;
  LoopHandle& operator=(const LoopHandle&) = delete;

  uv_handle_s* get() const { return handle_; }
  /** To be called from libuv's callback. */
  static void ready(uv_handle_s* handle);
  /** No event comes after this. May be called again until the event loop goes on. */
  void close();

 private:
  ~LoopHandle();
  static void closed(uv_handle_s* handle);

  Napi::Env env_;
  std::function<void()> onEvent_;
  uv_handle_s* handle_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool closing_ = false;
};

}  // namespace kafabric::binding
