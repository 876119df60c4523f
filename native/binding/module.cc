// The addon's entry point: one Init function for each part, which adds its classes to the exports.
#include <napi.h>

namespace {

Napi::Object InitModule(Napi::Env /*env*/, Napi::Object exports) { return exports; }

}  // namespace

NODE_API_MODULE(kafabric, InitModule)
