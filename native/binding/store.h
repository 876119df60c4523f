#pragma once

#include <napi.h>

#include <cstdint>

#include "store/store.h"

namespace kafabric::binding {

/** The store that JavaScript knows by this number; throws Napi::Error when there is none. It stays until the environment ends. */
Store& storeOf(Napi::Env env, uint64_t index);

void initStore(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
