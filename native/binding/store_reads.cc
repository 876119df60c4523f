// Reading files for JavaScript.
#include <memory>
#include <optional>
#include <vector>

#include "binding/arena.h"
#include "binding/arguments.h"
#include "binding/batch_slots.h"
#include "binding/completions.h"
#include "binding/store_host.h"
#include "store/scan.h"

namespace kafabric::binding {

namespace {

constexpr size_t kPieceFields = 4;

/** Handle, arena offset, offset in the block, length for each piece, which JavaScript then holds. */
void listPieces(Napi::Env env, const std::vector<MemoryPiece>& pieces, double* next) {
  for (const MemoryPiece& piece : pieces) {
    auto inBlock = static_cast<size_t>(piece.bytes - piece.memory.data());
    *next++ = static_cast<double>(arenaHolds(env).give(piece.memory));
    *next++ = static_cast<double>(piece.memory.offset() + inBlock);
    *next++ = static_cast<double>(inBlock);
    *next++ = static_cast<double>(piece.length);
  }
}

/** Flat, as listed above. */
Napi::Value piecesTo(Napi::Env env, const std::vector<MemoryPiece>& pieces) {
  Napi::Float64Array flat = Napi::Float64Array::New(env, pieces.size() * kPieceFields);
  listPieces(env, pieces, flat.Data());
  return flat;
}

constexpr size_t kRangeFields = 4;
constexpr size_t kRangeReadFields = kPieceFields + 1;

/** Position, length, seed and the CRC expected by turns, the last two negative for none; throws a TypeError for a position or length that is none. */
std::vector<ReadRange> readRangesOf(const Napi::Float64Array& flat) {
  auto sum = [](double number) { return number >= 0 ? std::optional<uint32_t>(static_cast<uint32_t>(number)) : std::nullopt; };
  std::vector<ReadRange> ranges;
  ranges.reserve(flat.ElementLength() / kRangeFields);
  for (size_t i = 0; i + kRangeFields <= flat.ElementLength(); i += kRangeFields)
    ranges.push_back({wholeIn(flat, i), static_cast<size_t>(wholeIn(flat, i + 1)), sum(flat[i + 2]), sum(flat[i + 3])});
  return ranges;
}

/** Flat: a piece as listed above and the CRC of each; and an Error, or nothing, for each, null when there is none. */
Napi::Value rangeReadsTo(Napi::Env env, const std::vector<RangeRead>& reads) {
  Napi::Float64Array flat = Napi::Float64Array::New(env, reads.size() * kRangeReadFields);
  Napi::Array errors;
  double* next = flat.Data();
  for (size_t i = 0; i < reads.size(); ++i, next += kRangeReadFields) {
    const RangeRead& read = reads[i];
    if (read.status.ok()) {
      listPieces(env, {read.piece}, next);
      next[kPieceFields] = static_cast<double>(read.crc);
      continue;
    }
    if (errors.IsEmpty()) errors = Napi::Array::New(env, reads.size());
    errors[static_cast<uint32_t>(i)] = Completions::error(env, read.status.error, read.status.message).Value();
  }
  Napi::Array result = Napi::Array::New(env, 2);
  result[0u] = flat;
  result[1u] = errors.IsEmpty() ? env.Null() : errors;
  return result;
}

// (file, id, ranges); completes as listed above.
void read(const Napi::CallbackInfo& info) {
  HostedFile& hosted = fileAt(info);
  double id = numberAt(info, 1);
  Completions& completions = Completions::of(info.Env());
  hosted.owner->store.read(hosted.file, readRangesOf(info[2].As<Napi::Float64Array>()), [id, &completions](std::vector<RangeRead> reads) {
    completions.push({id, 0, "", [reads = std::move(reads)](Napi::Env env) { return rangeReadsTo(env, reads); }});
  });
}

// (file, position, length, appended, into) -> how many pieces `into` has, or all of them when it is too small, or null when not all is in memory.
Napi::Value find(const Napi::CallbackInfo& info) {
  HostedFile& hosted = fileAt(info);
  std::vector<MemoryPiece> pieces;
  bool found = hosted.owner->store.reader().find(*hosted.file, integerAt(info, 1), integerAt(info, 2),
                                                 info[3].As<Napi::Boolean>().Value(), pieces);
  if (!found) return info.Env().Null();
  auto into = info[4].As<Napi::Float64Array>();
  if (pieces.size() * kPieceFields > into.ElementLength()) return piecesTo(info.Env(), pieces);
  listPieces(info.Env(), pieces, into.Data());
  return Napi::Number::New(info.Env(), static_cast<double>(pieces.size()));
}

// (file, id, position, length); completes with pieces.
void readPieces(const Napi::CallbackInfo& info) {
  HostedFile& hosted = fileAt(info);
  double id = numberAt(info, 1);
  Completions& completions = Completions::of(info.Env());
  hosted.owner->store.readPieces(hosted.file, integerAt(info, 2), integerAt(info, 3), [id, &completions](ReadPieces read) {
    Completion done{id, read.status.error, read.status.message, nullptr};
    if (read.status.ok()) done.result = [pieces = std::move(read.pieces)](Napi::Env env) { return piecesTo(env, pieces); };
    completions.push(std::move(done));
  });
}

// [slots, end, reason]
Napi::Value scannedTo(Napi::Env env, const ScanResult& scanned) {
  Napi::Float64Array slots = Napi::Float64Array::New(env, scanned.batches.size() * kBatchSlots);
  for (size_t i = 0; i < scanned.batches.size(); ++i) {
    const ScannedBatch& batch = scanned.batches[i];
    fillHeaderSlots(slots.Data() + i * kBatchSlots, batch.header, batch.position, batch.header.sizeBytes());
  }
  Napi::Array result = Napi::Array::New(env, 3);
  result[0u] = slots;
  result[1u] = static_cast<double>(scanned.end);
  result[2u] = static_cast<double>(scanned.reason);
  return result;
}

// (file, position, maxBytes, maxBatches, end) -> [slots, end, reason], or null when something of it is not in memory.
Napi::Value scanFound(const Napi::CallbackInfo& info) {
  HostedFile& hosted = fileAt(info);
  ScanRange range{integerAt(info, 1), integerAt(info, 2), integerAt(info, 4), static_cast<size_t>(numberAt(info, 3)), false, true};
  ScanResult scanned = scanBatches(hosted.owner->store.reader(), *hosted.file, range);
  return scanned.status.ok() ? scannedTo(info.Env(), scanned) : info.Env().Null();
}

// (file, id, position, maxBytes, maxBatches, verifyCrc, end); completes with [slots, end, reason].
void scan(const Napi::CallbackInfo& info) {
  HostedFile& hosted = fileAt(info);
  double id = numberAt(info, 1);
  ScanRange range{integerAt(info, 2), integerAt(info, 3), integerAt(info, 6), static_cast<size_t>(numberAt(info, 4)),
                  info[5].As<Napi::Boolean>().Value(), false};
  Completions& completions = Completions::of(info.Env());
  auto task = [file = hosted.file, &store = hosted.owner->store, id, range, &completions] {
    auto scanned = std::make_shared<ScanResult>(scanBatches(store.reader(), *file, range));
    Completion done{id, scanned->status.error, scanned->status.message, nullptr};
    done.result = [scanned](Napi::Env env) { return scannedTo(env, *scanned); };
    completions.push(std::move(done));
  };
  postOrFail(hosted.owner->store.readers(), info.Env(), id, std::move(task));
}

}  // namespace

void initStoreReads(Napi::Env env, Napi::Object exports) {
  exports["fileRead"] = Napi::Function::New(env, read, "fileRead");
  exports["fileFind"] = Napi::Function::New(env, find, "fileFind");
  exports["fileReadPieces"] = Napi::Function::New(env, readPieces, "fileReadPieces");
  exports["fileScanFound"] = Napi::Function::New(env, scanFound, "fileScanFound");
  exports["fileScan"] = Napi::Function::New(env, scan, "fileScan");
}

}  // namespace kafabric::binding
