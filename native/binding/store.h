#pragma once

#include <napi.h>

namespace kafabric::binding {

void initStore(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
