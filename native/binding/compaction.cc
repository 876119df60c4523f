// Rounds of log compaction, each on a thread of its own.
#include "binding/compaction.h"

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <vector>

#include "binding/arguments.h"
#include "binding/completions.h"
#include "binding/environment.h"
#include "binding/store.h"
#include "binding/workers.h"
#include "compaction/compaction.h"
#include "store/low_priority.h"
#include "store/thread_pool.h"

namespace kafabric::binding {

namespace {

/** What one round needs; the thread ends before the rest goes. */
struct Round {
  Compaction compaction;
  ThreadPool thread{1};
  Round(CompactionOptions options, IoThrottle& throttle) : compaction(std::move(options), throttle) {}
};

/** One environment's rounds, by the numbers that JavaScript knows. */
struct Rounds {
  IoThrottle throttle;
  std::unordered_map<uint64_t, std::shared_ptr<Round>> open;
  uint64_t next = 1;
  std::unique_ptr<CleanupHook> hook;

  static Rounds& of(Napi::Env env) { return Environment::of(env).part<Rounds>(); }
};

std::shared_ptr<Round> roundAt(const Napi::CallbackInfo& info) {
  auto& open = Rounds::of(info.Env()).open;
  auto found = open.find(integerAt(info, 0));
  if (found == open.end()) throw Napi::Error::New(info.Env(), "no such compaction");
  return found->second;
}

/** The content of a BigInt64Array of a multiple of `group` numbers. */
std::vector<int64_t> numbersAt(const Napi::CallbackInfo& info, size_t index, size_t group) {
  auto array = info[index].As<Napi::BigInt64Array>();
  if (array.ElementLength() % group != 0) throw Napi::RangeError::New(info.Env(), "numbers are missing");
  return std::vector<int64_t>(array.Data(), array.Data() + array.ElementLength());
}

std::vector<AbortedTransaction> abortedAt(const Napi::CallbackInfo& info, size_t index) {
  std::vector<int64_t> numbers = numbersAt(info, index, 4);
  std::vector<AbortedTransaction> aborted;
  for (size_t i = 0; i < numbers.size(); i += 4) aborted.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]});
  return aborted;
}

/** From paths, and size, position, end offset and open file, or -1, of each. */
std::vector<SourceSegment> segmentsAt(const Napi::CallbackInfo& info, size_t paths, size_t numbersIndex) {
  auto names = info[paths].As<Napi::Array>();
  std::vector<int64_t> numbers = numbersAt(info, numbersIndex, 4);
  if (names.Length() == 0 || numbers.size() != names.Length() * 4) throw Napi::RangeError::New(info.Env(), "numbers are missing");
  std::vector<SourceSegment> segments;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const int64_t* of = numbers.data() + i * 4;
    if (of[0] < 0 || of[1] < 0) throw Napi::RangeError::New(info.Env(), "a size or position out of range");
    segments.push_back({Napi::Value(names[i]).As<Napi::String>().Utf8Value(), static_cast<uint64_t>(of[0]), static_cast<uint64_t>(of[1]), of[2],
                        of[3] < 0 ? nullptr : openFile(info.Env(), static_cast<uint64_t>(of[3]))});
  }
  return segments;
}

// (store, [now, delete retention, window, upper bound, slots, keys, buffer, direct], producers) -> number
Napi::Value open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Store& store = storeOf(env, integerAt(info, 0));
  std::vector<int64_t> numbers = numbersAt(info, 1, 8);
  if (numbers.size() != 8) throw Napi::RangeError::New(env, "numbers are missing");
  CompactionOptions options;
  options.nowMs = numbers[0];
  options.deleteRetentionMs = numbers[1];
  options.windowMs = numbers[2];
  options.upperBoundOffset = numbers[3];
  options.mapSlots = static_cast<size_t>(std::max<int64_t>(numbers[4], 0));
  options.maxKeys = static_cast<size_t>(std::max<int64_t>(numbers[5], 0));
  options.bufferBytes = static_cast<size_t>(std::max<int64_t>(numbers[6], 0));
  options.direct = numbers[7] != 0;
  std::vector<int64_t> producers = numbersAt(info, 2, 3);
  for (size_t i = 0; i < producers.size(); i += 3)
    options.producers[producers[i]] = {producers[i + 1], static_cast<int16_t>(producers[i + 2])};
  options.cache = &store.cache();
  options.withSpace = [&store](const std::function<int()>& task) { return store.recycled().withSpace(task); };
  Rounds& rounds = Rounds::of(env);
  if (!rounds.hook) {
    rounds.hook = std::make_unique<CleanupHook>(env, [&rounds] {
      for (auto& [number, round] : rounds.open) round->compaction.stop();
      for (auto& [number, round] : rounds.open) round->thread.stop();
    });
  }
  try {
    rounds.open[rounds.next] = std::make_shared<Round>(std::move(options), rounds.throttle);
  } catch (const std::bad_alloc&) {
    throw Completions::error(env, ENOMEM, "not enough memory to compact a log");
  } catch (const std::system_error& error) {
    throw Completions::error(env, ENOMEM, std::string("no thread to compact a log: ") + error.what());
  }
  return Napi::Number::New(env, static_cast<double>(rounds.next++));
}

/** Runs a task on the round's thread. */
void postTo(const std::shared_ptr<Round>& round, Completions& completions, std::function<Completion()> task) {
  round->thread.post([task = std::move(task), &completions]() mutable {
    lowerPriority();
    Completion done = task();
    // Before anybody hears of it: it may hold files that are to be removed then.
    task = nullptr;
    completions.push(std::move(done));
  });
}

// (round, id, paths, numbers, start offset, aborted); completes with [end offset, bytes read, records read].
void map(const Napi::CallbackInfo& info) {
  auto round = roundAt(info);
  auto segments = segmentsAt(info, 2, 3);
  bool lossless = false;
  int64_t start = info[4].As<Napi::BigInt>().Int64Value(&lossless);
  auto task = [&compaction = round->compaction, id = numberAt(info, 1), segments, start, aborted = abortedAt(info, 5)] {
    MapResult mapped = compaction.map(segments, start, aborted);
    Completion done{id, mapped.status.error, mapped.status.message, nullptr};
    done.result = [mapped](Napi::Env env) -> Napi::Value {
      Napi::Array result = Napi::Array::New(env, 3);
      result[0u] = Napi::BigInt::New(env, mapped.endOffset);
      result[1u] = static_cast<double>(mapped.bytesRead);
      result[2u] = static_cast<double>(mapped.recordsRead);
      return result;
    };
    return done;
  };
  postTo(round, Completions::of(info.Env()), task);
}

// (round, aborted)
void setAborted(const Napi::CallbackInfo& info) {
  auto round = roundAt(info);
  round->thread.post([&compaction = round->compaction, aborted = abortedAt(info, 1)] { compaction.setAborted(aborted); });
}

Napi::Value cleanedTo(Napi::Env env, const CleanResult& cleaned) {
  Napi::BigInt64Array aborted = Napi::BigInt64Array::New(env, cleaned.aborted.size() * 4);
  int64_t* next = aborted.Data();
  for (const AbortedTransaction& each : cleaned.aborted) {
    for (int64_t value : {each.producerId, each.firstOffset, each.lastOffset, each.lastStableOffset}) *next++ = value;
  }
  Napi::BigInt64Array released = Napi::BigInt64Array::New(env, cleaned.released.size() * 4);
  next = released.Data();
  for (const PayloadExtent& extent : cleaned.released) {
    *next++ = extent.baseOffset;
    *next++ = static_cast<int64_t>(extent.segmentId);
    *next++ = static_cast<int64_t>(extent.position);
    *next++ = extent.length;
  }
  Napi::Array result = Napi::Array::New(env, 6);
  result[0u] = static_cast<double>(cleaned.size);
  result[1u] = static_cast<double>(cleaned.bytesRead);
  result[2u] = static_cast<double>(cleaned.recordsRead);
  result[3u] = static_cast<double>(cleaned.recordsKept);
  result[4u] = aborted;
  result[5u] = released;
  return result;
}

// (round, id, paths, numbers, stem, [base offset, time of change, index interval, index limit]); completes with what cleanedTo makes.
void clean(const Napi::CallbackInfo& info) {
  auto round = roundAt(info);
  auto segments = segmentsAt(info, 2, 3);
  std::vector<int64_t> numbers = numbersAt(info, 5, 4);
  if (numbers.size() != 4 || numbers[2] < 0 || numbers[3] < 0) throw Napi::RangeError::New(info.Env(), "numbers are missing or out of range");
  SegmentTarget target{stringAt(info, 4), numbers[0], numbers[1], static_cast<size_t>(numbers[2]), static_cast<size_t>(numbers[3])};
  auto task = [&compaction = round->compaction, id = numberAt(info, 1), segments, target] {
    auto cleaned = std::make_shared<CleanResult>(compaction.clean(segments, target));
    Completion done{id, cleaned->status.error, cleaned->status.message, nullptr};
    done.result = [cleaned](Napi::Env env) { return cleanedTo(env, *cleaned); };
    return done;
  };
  postTo(round, Completions::of(info.Env()), task);
}

// (round)
void stop(const Napi::CallbackInfo& info) { roundAt(info)->compaction.stop(); }

// (round, id): gives its memory back when what runs has ended.
void close(const Napi::CallbackInfo& info) {
  auto round = roundAt(info);
  Rounds::of(info.Env()).open.erase(integerAt(info, 0));
  round->compaction.stop();
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [round, id = numberAt(info, 1), &completions]() mutable {
    round->thread.stop();
    round.reset();
    completions.push({id, 0, "", nullptr});
  });
}

// (bytes per second); not above zero: no limit.
void setRate(const Napi::CallbackInfo& info) { Rounds::of(info.Env()).throttle.setRate(info[0].As<Napi::Number>().DoubleValue()); }

}  // namespace

void initCompaction(Napi::Env env, Napi::Object exports) {
  exports["compactionOpen"] = Napi::Function::New(env, open, "compactionOpen");
  exports["compactionMap"] = Napi::Function::New(env, map, "compactionMap");
  exports["compactionSetAborted"] = Napi::Function::New(env, setAborted, "compactionSetAborted");
  exports["compactionClean"] = Napi::Function::New(env, clean, "compactionClean");
  exports["compactionStop"] = Napi::Function::New(env, stop, "compactionStop");
  exports["compactionClose"] = Napi::Function::New(env, close, "compactionClose");
  exports["compactionSetRate"] = Napi::Function::New(env, setRate, "compactionSetRate");
}

}  // namespace kafabric::binding
