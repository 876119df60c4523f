#include "binding/journal.h"

#include <utility>

#include "binding/completions.h"
#include "binding/workers.h"
#include "store/journal.h"

namespace kafabric::binding {

namespace {

Napi::Value toArray(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array result = Napi::Array::New(env, strings.size());
  for (uint32_t i = 0; i < strings.size(); ++i) result[i] = Napi::String::New(env, strings[i]);
  return result;
}

Napi::Value toObject(Napi::Env env, const ReplayReport& report) {
  Napi::Object result = Napi::Object::New(env);
  result["entries"] = static_cast<double>(report.entries);
  result["bytes"] = static_cast<double>(report.bytes);
  result["files"] = static_cast<double>(report.files);
  result["skippedFiles"] = static_cast<double>(report.skippedFiles);
  result["keptFiles"] = static_cast<double>(report.keptFiles);
  result["kept"] = toArray(env, report.kept);
  result["inUse"] = static_cast<double>(report.inUse);
  result["problems"] = toArray(env, report.problems);
  return result;
}

/** Of an array of directories, one at least. */
SharedPlace placeOf(std::string name, const Napi::Array& directories) {
  SharedPlace place{std::move(name), directories.Get(0u).As<Napi::String>().Utf8Value()};
  for (uint32_t i = 1; i < directories.Length(); ++i) place.others.push_back(directories.Get(i).As<Napi::String>().Utf8Value());
  return place;
}

// (id, name, directories); completes with a report.
void replay(const Napi::CallbackInfo& info) {
  double id = info[0].As<Napi::Number>().DoubleValue();
  SharedPlace place = placeOf(info[1].As<Napi::String>().Utf8Value(), info[2].As<Napi::Array>());
  Completions& completions = Completions::of(info.Env());
  SharedFile* shared = Arena::process().sharedFile();
  std::string own = shared ? shared->path() : std::string();
  Workers::post(info.Env(), id, [id, place, own, &completions] {
    IoStatus status;
    ReplayReport report = replayJournals(place, own, status);
    Completion done{id, status.error, status.message, nullptr};
    done.result = [report = std::move(report)](Napi::Env env) { return toObject(env, report); };
    completions.push(std::move(done));
  });
}

Napi::Value toObject(Napi::Env env, const AbandonedMemory& memory) {
  Napi::Object result = Napi::Object::New(env);
  result["path"] = memory.path;
  result["bytes"] = static_cast<double>(memory.bytes);
  result["entries"] = static_cast<double>(memory.entries);
  result["file"] = memory.file;
  result["removed"] = memory.removed;
  return result;
}

// (id, age in seconds, remove, directories); completes with an array of what was found.
void abandoned(const Napi::CallbackInfo& info) {
  double id = info[0].As<Napi::Number>().DoubleValue();
  std::chrono::seconds age(info[1].As<Napi::Number>().Uint32Value());
  bool remove = info[2].As<Napi::Boolean>().Value();
  SharedPlace place = placeOf({}, info[3].As<Napi::Array>());
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), id, [id, age, remove, place, &completions] {
    auto found = findAbandoned(place, age, remove);
    Completion done{id, 0, {}, nullptr};
    done.result = [found = std::move(found)](Napi::Env env) -> Napi::Value {
      Napi::Array result = Napi::Array::New(env, found.size());
      for (uint32_t i = 0; i < found.size(); ++i) result[i] = toObject(env, found[i]);
      return result;
    };
    completions.push(std::move(done));
  });
}

}  // namespace

void initJournal(Napi::Env env, Napi::Object exports) {
  exports["journalReplay"] = Napi::Function::New(env, replay, "journalReplay");
  exports["journalAbandoned"] = Napi::Function::New(env, abandoned, "journalAbandoned");
}

}  // namespace kafabric::binding
