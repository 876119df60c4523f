#include "binding/journal.h"

#include <utility>

#include "binding/completions.h"
#include "binding/workers.h"
#include "store/journal.h"

namespace kafabric::binding {

namespace {

Napi::Value toObject(Napi::Env env, const ReplayReport& report) {
  Napi::Object result = Napi::Object::New(env);
  result["entries"] = static_cast<double>(report.entries);
  result["bytes"] = static_cast<double>(report.bytes);
  result["files"] = static_cast<double>(report.files);
  result["skippedFiles"] = static_cast<double>(report.skippedFiles);
  result["inUse"] = static_cast<double>(report.inUse);
  Napi::Array problems = Napi::Array::New(env, report.problems.size());
  for (uint32_t i = 0; i < report.problems.size(); ++i) problems[i] = Napi::String::New(env, report.problems[i]);
  result["problems"] = problems;
  return result;
}

// (id, name); completes with a report.
void replay(const Napi::CallbackInfo& info) {
  double id = info[0].As<Napi::Number>().DoubleValue();
  SharedPlace place{info[1].As<Napi::String>().Utf8Value()};
  Completions& completions = Completions::of(info.Env());
  SharedFile* shared = Arena::process().sharedFile();
  std::string own = shared ? shared->path() : std::string();
  Workers::post(info.Env(), [id, place, own, &completions] {
    IoStatus status;
    ReplayReport report = replayJournals(place, own, status);
    Completion done{id, status.error, status.message, nullptr};
    done.result = [report = std::move(report)](Napi::Env env) { return toObject(env, report); };
    completions.push(std::move(done));
  });
}

}  // namespace

void initJournal(Napi::Env env, Napi::Object exports) {
  exports["journalReplay"] = Napi::Function::New(env, replay, "journalReplay");
}

}  // namespace kafabric::binding
