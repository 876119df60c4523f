#pragma once

#include <napi.h>

namespace kafabric::binding {

void initAllocator(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
