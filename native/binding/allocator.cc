#include "binding/allocator.h"

#include <cstdlib>  // __GLIBC__

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace kafabric::binding {

namespace {

void trim(const Napi::CallbackInfo&) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace

void initAllocator(Napi::Env env, Napi::Object exports) {
  exports.Set("allocatorTrim", Napi::Function::New<trim>(env, "allocatorTrim"));
}

}  // namespace kafabric::binding
