// Memory of clients on this machine, and copies from and to it; src/native/direct.ts is its face.
#pragma once

#include <napi.h>

namespace kafabric::binding {

void initDirect(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
