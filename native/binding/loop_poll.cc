#include "binding/loop_poll.h"

#include <cstdlib>
#include <new>

// The part of libuv's stable interface that is used here: its header does not come with node-api-headers, the symbols come with Node.
extern "C" {
struct uv_loop_s;
struct uv_handle_s;
using KafabricPollCallback = void (*)(uv_handle_s* handle, int status, int events);
size_t uv_handle_size(int type);
void uv_handle_set_data(uv_handle_s* handle, void* data);
void* uv_handle_get_data(const uv_handle_s* handle);
int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events, KafabricPollCallback callback);
int uv_poll_stop(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
void uv_close(uv_handle_s* handle, void (*closed)(uv_handle_s* handle));
}

namespace kafabric::binding {

namespace {

constexpr int kUvPoll = 8;  // UV_POLL
constexpr int kUvReadable = 1;

}  // namespace

struct LoopPoll::State {
  State(Napi::Env environment, std::function<void()> callback)
      : env(environment), onReadable(std::move(callback)), handle(static_cast<uv_handle_s*>(std::malloc(uv_handle_size(kUvPoll)))) {
    if (!handle) throw std::bad_alloc();
  }
  ~State() { std::free(handle); }

  static void ready(uv_handle_s* handle, int /*status*/, int /*events*/) {
    auto* state = static_cast<State*>(uv_handle_get_data(handle));
    Napi::HandleScope scope(state->env);
    state->onReadable();
  }
  static void closed(uv_handle_s* handle) {
    auto* state = static_cast<State*>(uv_handle_get_data(handle));
    napi_async_cleanup_hook_handle hook = state->hook;
    delete state;
    if (hook) napi_remove_async_cleanup_hook(hook);
  }
  // The environment must not end before its loop has closed the handle.
  static void end(napi_async_cleanup_hook_handle, void* data) { static_cast<State*>(data)->close(); }
  void close() {
    if (closing) return;
    closing = true;
    uv_close(handle, closed);
  }

  Napi::Env env;
  std::function<void()> onReadable;
  uv_handle_s* handle;
  napi_async_cleanup_hook_handle hook = nullptr;
  bool closing = false;
};

LoopPoll::LoopPoll(Napi::Env env, int fd, std::function<void()> onReadable)
    : state_(new State(env, std::move(onReadable))) {
  uv_loop_s* loop = nullptr;
  bool made = napi_get_uv_event_loop(env, &loop) == napi_ok && uv_poll_init(loop, state_->handle, fd) == 0;
  if (!made) {
    delete state_;
    throw Napi::Error::New(env, "the event loop cannot watch the sockets");
  }
  uv_handle_set_data(state_->handle, state_);
  uv_unref(state_->handle);
  napi_add_async_cleanup_hook(env, State::end, state_, &state_->hook);
}

void LoopPoll::set(bool started) {
  if (!state_ || started == started_) return;
  started_ = started;
  if (started) uv_poll_start(state_->handle, kUvReadable, State::ready);
  else uv_poll_stop(state_->handle);
}

void LoopPoll::close() {
  if (state_) state_->close();
  state_ = nullptr;
}

}  // namespace kafabric::binding
