#pragma once

#include <napi.h>

namespace kafabric::binding {

void initNet(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
