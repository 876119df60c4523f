#include "binding/loop_poll.h"

#include <utility>

namespace kafabric::binding {

namespace {

constexpr int kUvReadable = 1;

void ready(uv_handle_s* handle, int /*status*/, int /*events*/) { LoopHandle::ready(handle); }

}  // namespace

LoopPoll::LoopPoll(Napi::Env env, int fd, std::function<void()> onReadable)
    : handle_(new LoopHandle(
          env, LoopHandleType::kPoll,
          [fd](uv_loop_s* loop, uv_handle_s* handle) { return uv_poll_init(loop, handle, fd); }, std::move(onReadable))) {}

void LoopPoll::set(bool started) {
  if (!handle_ || started == started_) return;
  started_ = started;
  if (started) uv_poll_start(handle_->get(), kUvReadable, ready);
  else uv_poll_stop(handle_->get());
}

void LoopPoll::close() {
  if (handle_) handle_->close();
  handle_ = nullptr;
}

}  // namespace kafabric::binding
