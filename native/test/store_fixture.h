// A store in a directory of its own, and what tests ask of its files.
#pragma once

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "store/store.h"
#include "test/faults.h"
#include "test/temporary.h"
#include "test/test.h"

namespace kafabric::test {

struct StoreFixture {
  static constexpr size_t kArenaBytes = size_t{1} << 20;

  FaultScope faultScope;
  std::string directory;
  Arena arena;
  Store store;

  explicit StoreFixture(StoreOptions options = {}, size_t arenaBytes = kArenaBytes, const SharedPlace& place = {},
                        std::string files = makeDirectory())
      : directory(std::move(files)), arena(arenaBytes, place), store(options, arena) {}
  /** Through the page cache, or past it where the file system can. */
  explicit StoreFixture(bool direct, size_t arenaBytes = kArenaBytes) : StoreFixture(optionsOf(direct), arenaBytes) {}
  ~StoreFixture() {
    faults.reset();
    store.stop();
    std::filesystem::remove_all(directory);
  }
  StoreFixture(const StoreFixture&) = delete;
  StoreFixture& operator=(const StoreFixture&) = delete;

  static StoreOptions optionsOf(bool direct) {
    StoreOptions options;
    options.threads = 3;
    options.memoryTimeout = std::chrono::milliseconds(300);
    options.direct = direct;
    return options;
  }
  std::string path(const std::string& name = "file") const { return directory + "/" + name; }
  std::shared_ptr<StoreFile> open(const std::string& name = "file", OpenOptions options = {true}) {
    IoStatus status;
    auto file = store.open(path(name), options, status);
    CHECK_EQ(status.error, 0);
    return file;
  }
  std::vector<RangeRead> read(const std::shared_ptr<StoreFile>& file, std::vector<ReadRange> ranges) {
    auto results = std::make_shared<std::promise<std::vector<RangeRead>>>();
    store.read(file, std::move(ranges), [results](std::vector<RangeRead> reads) { results->set_value(std::move(reads)); });
    return results->get_future().get();
  }
  RangeRead read(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length) {
    return read(file, {{position, length, 0, {}}})[0];
  }
  ReadPieces readPieces(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length) {
    auto result = std::make_shared<std::promise<ReadPieces>>();
    store.readPieces(file, position, length, [result](ReadPieces r) { result->set_value(std::move(r)); });
    return result->get_future().get();
  }
  /** What a read gives, which must succeed. */
  std::string textAt(const std::shared_ptr<StoreFile>& file, uint64_t position, size_t length) {
    RangeRead result = read(file, position, length);
    CHECK_EQ(result.status.message, "");
    return {reinterpret_cast<const char*>(result.piece.bytes), result.piece.length};
  }
};

/** The outcome of an operation, to be waited for. */
class Outcome {
 public:
  StoreFile::Done done() {
    return [state = state_](const IoStatus& status) { state->set_value(status); };
  }
  IoStatus wait() { return future_.get(); }
  bool ready() const { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

 private:
  std::shared_ptr<std::promise<IoStatus>> state_ = std::make_shared<std::promise<IoStatus>>();
  std::future<IoStatus> future_ = state_->get_future();
};

/** Copied by the append. */
inline std::vector<AppendPart> parts(const std::string& text) {
  return {{reinterpret_cast<const uint8_t*>(text.data()), text.size(), {}}};
}

inline std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::string all(file ? static_cast<size_t>(file.tellg()) : 0, '\0');
  file.seekg(0);
  file.read(all.data(), static_cast<std::streamsize>(all.size()));
  all.resize(static_cast<size_t>(file.gcount()));
  return all;
}

/** What is written of a file, read past the store. Behind it there are only zeros. */
inline std::string written(const StoreFile& file) {
  std::string all = content(file.handle()->path());
  auto size = static_cast<size_t>(file.written());
  CHECK(all.size() >= size);
  CHECK_EQ(all.find_first_not_of('\0', size), std::string::npos);
  all.resize(size);
  return all;
}

inline IoStatus append(StoreFile& file, const std::string& text) {
  Outcome outcome;
  file.append(parts(text), {}, outcome.done());
  return outcome.wait();
}
inline IoStatus sync(StoreFile& file) {
  Outcome outcome;
  file.sync(outcome.done());
  return outcome.wait();
}
inline IoStatus truncate(StoreFile& file, uint64_t size) {
  Outcome outcome;
  file.truncate(size, outcome.done());
  return outcome.wait();
}
inline IoStatus trim(StoreFile& file) {
  Outcome outcome;
  file.trim(outcome.done());
  return outcome.wait();
}
inline IoStatus close(StoreFile& file) {
  Outcome outcome;
  file.close(outcome.done());
  return outcome.wait();
}

}  // namespace kafabric::test
