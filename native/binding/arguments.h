// Arguments of calls from JavaScript, checked.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

namespace kafabric::binding {

/** A number that an integer without a sign can hold exactly; throws a RangeError for any other. */
inline double numberAt(const Napi::CallbackInfo& info, size_t index) {
  double value = info[index].As<Napi::Number>().DoubleValue();
  if (!(value >= 0 && value <= 9007199254740991.0)) throw Napi::RangeError::New(info.Env(), "number out of range");
  return value;
}

inline uint64_t integerAt(const Napi::CallbackInfo& info, size_t index) { return static_cast<uint64_t>(numberAt(info, index)); }

inline std::string stringAt(const Napi::CallbackInfo& info, size_t index) { return info[index].As<Napi::String>().Utf8Value(); }

/** A position or length; throws a TypeError for another number. */
inline uint64_t wholeIn(const Napi::Float64Array& flat, size_t index) {
  constexpr double kMost = 9007199254740991;  // Number.MAX_SAFE_INTEGER
  double number = flat[index];
  if (!(number >= 0 && number <= kMost)) throw Napi::TypeError::New(flat.Env(), "not a position or length");
  return static_cast<uint64_t>(number);
}

}  // namespace kafabric::binding
