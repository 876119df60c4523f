#include "binding/completions.h"

#include <cerrno>
#include <cstring>
#include <new>

#include "binding/environment.h"

namespace kafabric::binding {

namespace {

/** "ENOSPC" for ENOSPC; the errors that files and memory can give. */
std::string errorName(int error) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
  const char* name = strerrorname_np(error);
  if (name) return name;
#else
  switch (error) {
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case EDQUOT: return "EDQUOT";
    case EEXIST: return "EEXIST";
    case EFBIG: return "EFBIG";
    case EINVAL: return "EINVAL";
    case EIO: return "EIO";
    case EISDIR: return "EISDIR";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case ENOENT: return "ENOENT";
    case ENOLCK: return "ENOLCK";
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case ENOTDIR: return "ENOTDIR";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    case ETIMEDOUT: return "ETIMEDOUT";
    default: break;
  }
#endif
  return "E" + std::to_string(error);
}

}  // namespace

Completions& Completions::of(Napi::Env env) { return Environment::of(env).part<Completions>(); }

void Completions::push(Completion completion) {
  std::lock_guard lock(mutex_);
  done_.push_back(std::move(completion));
  // Under the lock, so that the wake-up is not closed meanwhile.
  if (wakeup_) wakeup_->signal();
}

void Completions::run(double id, const std::function<void()>& task) {
  try {
    task();
  } catch (const std::bad_alloc&) {
    push({id, ENOMEM, "not enough memory", nullptr});
  }
}

Napi::Error Completions::error(Napi::Env env, int error, const std::string& message) {
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("code", Napi::String::New(env, errorName(error)));
  result.Set("errno", Napi::Number::New(env, error));
  return result;
}

/** One that cannot be made is the failure of its operation alone: nobody would hear of the others. */
Napi::Value Completions::outcomeOf(Napi::Env env, const Completion& completion) {
  if (completion.error != 0) return error(env, completion.error, completion.message).Value();
  try {
    return completion.result ? completion.result(env) : env.Null();
  } catch (const Napi::Error& thrown) {
    return thrown.Value();
  } catch (const std::bad_alloc&) {
    return error(env, ENOMEM, "not enough memory for a result").Value();
  }
}

// A flat array of id and outcome, alternating; an outcome that is an Error is a failure.
Napi::Value Completions::take(Napi::Env env) {
  std::vector<Completion> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  Napi::Array result = Napi::Array::New(env, done.size() * 2);
  uint32_t at = 0;
  for (Completion& completion : done) {
    Napi::HandleScope scope(env);
    result[at++] = Napi::Number::New(env, completion.id);
    result[at++] = outcomeOf(env, completion);
  }
  return result;
}

void initCompletions(Napi::Env env, Napi::Object exports) {
  exports["completionsStart"] = Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
    Completions& completions = Completions::of(info.Env());
    auto wakeup = std::make_unique<Wakeup>(info.Env(), "kafabric completions", info[0].As<Napi::Function>());
    std::lock_guard lock(completions.mutex_);
    completions.wakeup_ = std::move(wakeup);
    completions.hook_ = std::make_unique<CleanupHook>(info.Env(), [&completions] {
      std::lock_guard lock(completions.mutex_);
      completions.wakeup_.reset();
    });
  });
  exports["completionsTake"] = Napi::Function::New(
      env, [](const Napi::CallbackInfo& info) { return Completions::of(info.Env()).take(info.Env()); });
  // While operations are under way they keep the process alive, as those of Node's own modules do.
  exports["completionsHold"] = Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
    Completions& completions = Completions::of(info.Env());
    if (!completions.wakeup_) return;
    if (info[0].As<Napi::Boolean>().Value()) completions.wakeup_->ref();
    else completions.wakeup_->unref();
  });
}

}  // namespace kafabric::binding
