#pragma once

#include <napi.h>

namespace kafabric::binding {

void initCompaction(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
