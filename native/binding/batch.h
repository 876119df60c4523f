#pragma once

#include <napi.h>

namespace kafabric::binding {

void initBatch(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
