#pragma once

#include <napi.h>

namespace kafabric::binding {

void initCodec(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
