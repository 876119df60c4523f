// Bulk transfers over libfabric or plain TCP, for JavaScript.
#pragma once

#include <napi.h>

#include "fabric/transport.h"

namespace kafabric::binding {

/** The transport that the first argument names; throws when it is closed. */
fabric::Transport& transportAt(const Napi::CallbackInfo& info);

void initFabric(Napi::Env env, Napi::Object exports);
/** Loops that transfers are judged by. */
void initBareLoop(Napi::Env env, Napi::Object exports);
/** What peers have published, and the orders that they give. */
void initRemoteMemory(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
