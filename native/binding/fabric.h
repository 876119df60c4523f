// Bulk transfers over libfabric or plain TCP, for JavaScript.
#pragma once

#include <napi.h>

namespace kafabric::binding {

void initFabric(Napi::Env env, Napi::Object exports);
/** What peers have published, and the orders that they give. */
void initRemoteMemory(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
