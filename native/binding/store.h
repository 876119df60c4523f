#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "store/store.h"

namespace kafabric::binding {

/** The store that JavaScript knows by this number; throws Napi::Error when there is none. It stays until the environment ends. */
Store& storeOf(Napi::Env env, uint64_t index);

/** The open file of this number; null when it is closed. */
std::shared_ptr<StoreFile> openFile(Napi::Env env, uint64_t number);

void initStore(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
