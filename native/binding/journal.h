// Recovery of what a killed process had acknowledged from memory, for JavaScript.
#pragma once

#include <napi.h>

namespace kafabric::binding {

void initJournal(Napi::Env env, Napi::Object exports);

}  // namespace kafabric::binding
