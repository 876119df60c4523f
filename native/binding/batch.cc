// Record batches: validation, recompression, reference batches. The layouts shared with JavaScript are in src/native/batch-layout.ts.
#include "binding/batch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "batch/check.h"
#include "batch/claims.h"
#include "batch/crc32c.h"
#include "batch/produce_check.h"
#include "batch/recompress.h"
#include "batch/reference.h"
#include "batch/restore.h"
#include "binding/arena.h"
#include "binding/batch_slots.h"
#include "binding/completions.h"
#include "binding/workers.h"
#include "openssl/hmac_sha256.h"

namespace kafabric::binding {

namespace {

/** Results up to this are handed over as bytes: a view of the arena would cost as much as the copy. */
constexpr size_t kSmallOutputBytes = 64 << 10;

struct Bytes {
  uint8_t* data;
  size_t length;
};

Bytes bytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), "a Uint8Array is needed");
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

double numberOf(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }

template <typename Integer>
Integer clampTo(double value, Integer max) {
  return value >= static_cast<double>(max) ? max : static_cast<Integer>(std::max(value, 0.0));
}

/** Reads the options from the Float64Array that JavaScript filled. */
CheckOptions optionsOf(const Napi::Value& value) {
  auto slots = value.As<Napi::Float64Array>();
  if (slots.ElementLength() < kOptionSlots) throw Napi::RangeError::New(value.Env(), "options are incomplete");
  auto flags = static_cast<uint32_t>(slots[2]);
  CheckOptions options;
  options.maxUncompressedBytes = clampTo<size_t>(slots[0], INT32_MAX);
  options.maxBatchBytes = clampTo<size_t>(slots[1], SIZE_MAX);
  options.fromClient = flags & 1;
  options.verifyCrc = flags & 2;
  options.requireKeys = flags & 4;
  options.createTime = flags & 8;
  options.nowMs = clampTo<int64_t>(slots[3], INT64_MAX);
  options.timestampBeforeMaxMs = clampTo<int64_t>(slots[4], INT64_MAX);
  options.timestampAfterMaxMs = clampTo<int64_t>(slots[5], INT64_MAX);
  options.referenceMinBytes = clampTo<size_t>(slots[6], SIZE_MAX);
  return options;
}

void fillSlots(double* slots, const BatchCheck& check, size_t base) {
  fillHeaderSlots(slots, check.header, base + check.position, check.sizeBytes);
  slots[kSlotError] = static_cast<double>(check.error);
  slots[kSlotProblem] = static_cast<double>(check.problem);
  slots[kSlotErrorRecord] = check.errorRecords.empty() ? -1 : check.errorRecords.front();
  slots[kSlotUncompressedBytes] = static_cast<double>(check.uncompressedBytes);
  slots[kSlotKeyless] = check.keyless;
  slots[kSlotOffsetDeltaOfMaxTimestamp] = check.offsetDeltaOfMaxTimestamp;
  std::memcpy(slots + kSlotMaxTimestamp, &check.maxTimestamp, 8);
  std::memcpy(slots + kSlotStoredMaxTimestamp, &check.storedMaxTimestamp, 8);
  slots[kSlotStoredAttributes] = check.storedAttributes;
  slots[kSlotStoredCrc] = check.storedCrc;
}

Napi::Value toUint8Array(Napi::Env env, const ByteBuffer& bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (bytes.size() > 0) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

Napi::Value toUint32Array(Napi::Env env, const std::vector<uint32_t>& numbers) {
  Napi::Uint32Array array = Napi::Uint32Array::New(env, numbers.size());
  std::copy(numbers.begin(), numbers.end(), array.Data());
  return array;
}

/**
 * What does not fit into slots: the reference batch of a good batch, in an array with the CRCs of pieces where there are some, or the records
 * at fault when they are several; else null.
 */
Napi::Value attachment(Napi::Env env, const BatchCheck& check) {
  if (check.reference.size() > 0 && !check.pieces.empty()) {
    Napi::Array both = Napi::Array::New(env, 2);
    both[0u] = toUint8Array(env, check.reference);
    both[1u] = toUint32Array(env, check.pieces);
    return both;
  }
  if (check.reference.size() > 0) return toUint8Array(env, check.reference);
  if (check.errorRecords.size() <= 1) return env.Null();
  Napi::Int32Array records = Napi::Int32Array::New(env, check.errorRecords.size());
  std::copy(check.errorRecords.begin(), check.errorRecords.end(), records.Data());
  return records;
}

void attach(Napi::Array& attachments, size_t index, const Napi::Value& attached) {
  if (!attached.IsNull()) attachments[static_cast<uint32_t>(index)] = attached;
}

ByteBuffer& threadScratch() {
  thread_local ByteBuffer scratch;
  return scratch;
}

// (bytes, start, options, slots, attachments) -> number of batches checked, from `start`, as many as `slots` has room for.
Napi::Value checkSync(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes bytes = bytesOf(info[0]);
  auto start = static_cast<size_t>(std::max(numberOf(info[1]), 0.0));
  CheckOptions options = optionsOf(info[2]);
  auto slots = info[3].As<Napi::Float64Array>();
  auto attachments = info[4].As<Napi::Array>();
  if (start > bytes.length) throw Napi::RangeError::New(env, "start is behind the end");
  auto checks = checkBatches(bytes.data + start, bytes.length - start, options,
                             slots.ElementLength() / kBatchSlots, threadScratch());
  for (size_t i = 0; i < checks.size(); ++i) {
    fillSlots(slots.Data() + i * kBatchSlots, checks[i], start);
    attach(attachments, i, attachment(env, checks[i]));
  }
  return Napi::Number::New(env, static_cast<double>(checks.size()));
}

/** What a worker reads: memory that is kept meanwhile, or a copy. */
struct AsyncInput {
  MemoryRef memory;
  ByteBuffer copy;
  const uint8_t* bytes;
  size_t length;
};

Napi::Value toResult(Napi::Env env, const std::vector<BatchCheck>& checks) {
  Napi::Float64Array slots = Napi::Float64Array::New(env, checks.size() * kBatchSlots);
  Napi::Array attachments = Napi::Array::New(env);
  for (size_t i = 0; i < checks.size(); ++i) {
    fillSlots(slots.Data() + i * kBatchSlots, checks[i], 0);
    attach(attachments, i, attachment(env, checks[i]));
  }
  Napi::Array result = Napi::Array::New(env, 2);
  result[0u] = slots;
  result[1u] = attachments;
  return result;
}

void checkOnWorker(Napi::Env env, double id, std::shared_ptr<AsyncInput> input, const CheckOptions& options,
                   size_t maxBatches) {
  Completions& completions = Completions::of(env);
  Workers::post(env, [id, input = std::move(input), options, maxBatches, &completions]() mutable {
    Completion done;
    done.id = id;
    try {
      auto checks = std::make_shared<std::vector<BatchCheck>>(
          checkBatches(input->bytes, input->length, options, maxBatches, threadScratch()));
      done.result = [checks](Napi::Env env) { return toResult(env, *checks); };
    } catch (const std::bad_alloc&) {
      done.error = ENOMEM;
      done.message = "not enough memory to check a batch";
    }
    input.reset();  // memory goes back before anyone hears of it
    completions.push(std::move(done));
  });
}

std::shared_ptr<AsyncInput> memoryInput(Napi::Env env, double handle, double offset, double length) {
  auto input = std::make_shared<AsyncInput>();
  input->memory = borrowMemory(env, handle, offset, length);
  input->bytes = input->memory.data() + static_cast<size_t>(offset);
  input->length = static_cast<size_t>(length);
  return input;
}

// (options, slots, handle, offset, length) -> undefined, or the attachment of the check of the batch at exactly this range, made when its frame
// came, which is now in the first slots.
Napi::Value takeCheck(const Napi::CallbackInfo& info) {
  double handle = numberOf(info[2]);
  double offset = numberOf(info[3]);
  double length = numberOf(info[4]);
  MemoryRef memory = borrowMemory(info.Env(), handle, offset, length);
  CheckedFrame* frame = arenaHolds(info.Env()).checked(memory.handle());
  BatchCheck check;
  RecordsRange range{static_cast<size_t>(offset), static_cast<size_t>(length)};
  bool taken = frame && frame->take(memory.data(), range, optionsOf(info[0]), check);
  if (!taken) return info.Env().Undefined();
  fillSlots(info[1].As<Napi::Float64Array>().Data(), check, 0);
  return attachment(info.Env(), check);
}

/** A copy, since JavaScript may change the bytes meanwhile. */
std::shared_ptr<AsyncInput> copiedInput(const Napi::Value& value) {
  Bytes bytes = bytesOf(value);
  auto input = std::make_shared<AsyncInput>();
  input->copy.append(bytes.data, bytes.length);
  input->bytes = input->copy.data();
  input->length = bytes.length;
  return input;
}

// (id, options, maxBatches, handle, offset, length); completes with [slots, attachments].
void checkMemory(const Napi::CallbackInfo& info) {
  checkOnWorker(info.Env(), numberOf(info[0]),
                memoryInput(info.Env(), numberOf(info[3]), numberOf(info[4]), numberOf(info[5])), optionsOf(info[1]),
                static_cast<size_t>(numberOf(info[2])));
}

// (id, options, maxBatches, bytes)
void checkCopy(const Napi::CallbackInfo& info) {
  checkOnWorker(info.Env(), numberOf(info[0]), copiedInput(info[3]), optionsOf(info[1]),
                static_cast<size_t>(numberOf(info[2])));
}

/** What a worker made: in the arena when it is large, so that nothing of it passes through JavaScript. */
struct AsyncOutput {
  MemoryRef memory;
  ByteBuffer bytes;

  void keepInArena() {
    if (bytes.size() <= kSmallOutputBytes) return;
    memory = Arena::process().allocate(bytes.size());
    if (!memory) return;  // a full arena must not fail a request
    std::memcpy(memory.data(), bytes.data(), bytes.size());
    bytes = ByteBuffer();
  }

  /** [handle, offset, length] or a Uint8Array. */
  Napi::Value take(Napi::Env env) {
    if (!memory) return toUint8Array(env, bytes);
    Napi::Array result = Napi::Array::New(env, 3);
    result[1u] = static_cast<double>(memory.offset());
    result[2u] = static_cast<double>(memory.size());
    result[0u] = static_cast<double>(arenaHolds(env).give(std::move(memory)));
    return result;
  }
};

void recompressOnWorker(const Napi::CallbackInfo& info, std::shared_ptr<AsyncInput> input) {
  double id = numberOf(info[0]);
  auto codec = clampTo<uint32_t>(numberOf(info[1]), kCodecs);
  if (codec == kCodecs || input->length < kBatchHeaderBytes)
    throw Napi::RangeError::New(info.Env(), "a batch and a codec are needed");
  auto maxUncompressedBytes = clampTo<size_t>(numberOf(info[2]), INT32_MAX);
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, codec, maxUncompressedBytes, input = std::move(input), &completions]() mutable {
    Completion done;
    done.id = id;
    try {
      auto output = std::make_shared<AsyncOutput>();
      recompressBatch(input->bytes, input->length, static_cast<Codec>(codec), maxUncompressedBytes, threadScratch(),
                      output->bytes);
      output->keepInArena();
      done.result = [output](Napi::Env env) { return output->take(env); };
    } catch (const std::bad_alloc&) {
      done.error = ENOMEM;
      done.message = "not enough memory to compress a batch";
    } catch (const CodecError& error) {
      done.error = EINVAL;
      done.message = error.what();
    }
    threadScratch().recycle(kScratchKeepBytes);
    input.reset();  // memory goes back before anyone hears of it
    completions.push(std::move(done));
  });
}

// (id, codec, maxUncompressedBytes, handle, offset, length); completes with what AsyncOutput::take makes.
void recompressMemory(const Napi::CallbackInfo& info) {
  recompressOnWorker(info, memoryInput(info.Env(), numberOf(info[3]), numberOf(info[4]), numberOf(info[5])));
}

// (id, codec, maxUncompressedBytes, bytes)
void recompressCopy(const Napi::CallbackInfo& info) { recompressOnWorker(info, copiedInput(info[3])); }

// (id, reference batch, handle, offset, length) of the extent; completes with what AsyncOutput::take makes.
void restoreOnWorker(const Napi::CallbackInfo& info) {
  double id = numberOf(info[0]);
  auto reference = copiedInput(info[1]);
  auto extent = memoryInput(info.Env(), numberOf(info[2]), numberOf(info[3]), numberOf(info[4]));
  Completions& completions = Completions::of(info.Env());
  Workers::post(info.Env(), [id, reference, extent = std::move(extent), &completions]() mutable {
    Completion done;
    done.id = id;
    try {
      auto output = std::make_shared<AsyncOutput>();
      restoreBatch(reference->bytes, reference->length, extent->bytes, extent->length, threadScratch(), output->bytes);
      output->keepInArena();
      done.result = [output](Napi::Env env) { return output->take(env); };
    } catch (const std::bad_alloc&) {
      done.error = ENOMEM;
      done.message = "not enough memory to restore a batch";
    } catch (const CodecError& error) {
      done.error = EBADMSG;
      done.message = error.what();
    }
    threadScratch().recycle(kScratchKeepBytes);
    extent.reset();  // memory goes back before anyone hears of it
    completions.push(std::move(done));
  });
}

// (reference batch) -> bytes of what it stands for
Napi::Value restoredSize(const Napi::CallbackInfo& info) {
  Bytes bytes = bytesOf(info[0]);
  return Napi::Number::New(info.Env(), static_cast<double>(restoredBytes(bytes.data, bytes.length)));
}

/** A Uint8Array that starts with a whole batch header. */
Bytes batchOf(const Napi::Value& value) {
  Bytes bytes = bytesOf(value);
  if (bytes.length < kBatchHeaderBytes) throw Napi::RangeError::New(value.Env(), "too short for a record batch");
  return bytes;
}

int64_t int64Of(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Int64Value(&lossless);
}

// (reference, original header, store id, segment id as bigint, position); false when it is not this batch's reference batch.
Napi::Value locate(const Napi::CallbackInfo& info) {
  Bytes reference = bytesOf(info[0]);
  Bytes header = batchOf(info[1]);
  ExtentLocation location{info[2].As<Napi::Number>().Uint32Value(), static_cast<uint64_t>(int64Of(info[3])),
                          static_cast<uint64_t>(std::max(numberOf(info[4]), 0.0))};
  return Napi::Boolean::New(info.Env(), locateReference(reference.data, reference.length, header.data, location));
}

ClaimSigner signerOf(const Napi::Value& secret, const Napi::Value& principal) {
  std::string error;
  const OpenSsl* openssl = OpenSsl::get(error);
  if (!openssl) throw Napi::Error::New(secret.Env(), error);
  Bytes key = bytesOf(secret);
  Bytes name = bytesOf(principal);
  if (key.length > kSha256BlockBytes) throw Napi::RangeError::New(secret.Env(), "a secret of more than 64 bytes");
  return {*openssl, key.data, key.length, name.data, name.length};
}

// (batches) -> room for them with claims
Napi::Value signedRoom(const Napi::CallbackInfo& info) {
  Bytes batches = bytesOf(info[0]);
  return Napi::Number::New(info.Env(), static_cast<double>(signedBytes(batches.data, batches.length)));
}

// (batches, claim, secret, principal, memory for the result) -> size of the result, or 0.
Napi::Value sign(const Napi::CallbackInfo& info) {
  Bytes batches = bytesOf(info[0]);
  Bytes claim = bytesOf(info[1]);
  if (claim.length != kClaimBytes) throw Napi::RangeError::New(info.Env(), "not a claim");
  Bytes out = bytesOf(info[4]);
  size_t size = signReferences(batches.data, batches.length, claim.data, signerOf(info[2], info[3]), out.data, out.length);
  return Napi::Number::New(info.Env(), static_cast<double>(size));
}

// (signed reference, secret, principal) -> whether its signature is right
Napi::Value claimIsRight(const Napi::CallbackInfo& info) {
  Bytes reference = bytesOf(info[0]);
  bool isRight = reference.length == kSignedReferenceBytes && isClaimRight(reference.data, signerOf(info[1], info[2]));
  return Napi::Boolean::New(info.Env(), isRight);
}

Napi::Value crc(const Napi::CallbackInfo& info) {
  Bytes bytes = bytesOf(info[0]);
  return Napi::Number::New(info.Env(), crc32c(info[1].As<Napi::Number>().Uint32Value(), bytes.data, bytes.length));
}

// (CRC of the first stretch, CRC of the second, length of the second) -> CRC of both
Napi::Value joinCrcs(const Napi::CallbackInfo& info) {
  auto length = clampTo<size_t>(numberOf(info[2]), SIZE_MAX);
  uint32_t first = info[0].As<Napi::Number>().Uint32Value();
  return Napi::Number::New(info.Env(), crc32cJoin(first, info[1].As<Napi::Number>().Uint32Value(), length));
}

// (id, seed, handle, offset, length); completes with the CRC-32C, computed by a worker thread.
void crcOfMemory(const Napi::CallbackInfo& info) {
  Completions& completions = Completions::of(info.Env());
  double id = info[0].As<Napi::Number>().DoubleValue();
  uint32_t seed = info[1].As<Napi::Number>().Uint32Value();
  double offset = info[3].As<Napi::Number>().DoubleValue();
  double length = info[4].As<Napi::Number>().DoubleValue();
  MemoryRef memory = borrowMemory(info.Env(), info[2].As<Napi::Number>().DoubleValue(), offset, length);
  Workers::post(info.Env(), [=, &completions] {
    uint32_t result = crc32c(seed, memory.data() + static_cast<size_t>(offset), static_cast<size_t>(length));
    completions.push({id, 0, "", [result](Napi::Env env) { return Napi::Number::New(env, result); }});
  });
}

}  // namespace

void initBatch(Napi::Env env, Napi::Object exports) {
  exports["crc32c"] = Napi::Function::New(env, crc, "crc32c");
  exports["crc32cJoin"] = Napi::Function::New(env, joinCrcs, "crc32cJoin");
  exports["crc32cOfMemory"] = Napi::Function::New(env, crcOfMemory, "crc32cOfMemory");
  exports["crc32cImplementation"] = Napi::String::New(env, crc32cImplementation());
  exports["batchCheck"] = Napi::Function::New(env, checkSync, "batchCheck");
  exports["batchTakeCheck"] = Napi::Function::New(env, takeCheck, "batchTakeCheck");
  exports["batchCheckMemory"] = Napi::Function::New(env, checkMemory, "batchCheckMemory");
  exports["batchCheckCopy"] = Napi::Function::New(env, checkCopy, "batchCheckCopy");
  exports["batchRecompressMemory"] = Napi::Function::New(env, recompressMemory, "batchRecompressMemory");
  exports["batchRecompressCopy"] = Napi::Function::New(env, recompressCopy, "batchRecompressCopy");
  exports["batchRestore"] = Napi::Function::New(env, restoreOnWorker, "batchRestore");
  exports["batchRestoredBytes"] = Napi::Function::New(env, restoredSize, "batchRestoredBytes");
  exports["batchSignedBytes"] = Napi::Function::New(env, signedRoom, "batchSignedBytes");
  exports["batchSignReferences"] = Napi::Function::New(env, sign, "batchSignReferences");
  exports["batchIsClaimRight"] = Napi::Function::New(env, claimIsRight, "batchIsClaimRight");
  exports["batchLocateReference"] = Napi::Function::New(env, locate, "batchLocateReference");
}

}  // namespace kafabric::binding
