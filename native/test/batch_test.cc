#include <chrono>
#include <cstdio>
#include <memory>
#include <random>

#include "batch/check.h"
#include "batch/claims.h"
#include "batch/crc32c.h"
#include "batch/recompress.h"
#include "batch/record.h"
#include "batch/reference.h"
#include "test/batch_checks.h"
#include "test/batches.h"
#include "test/test.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

constexpr Codec kAll[] = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};
const CheckOptions kOptions{1 << 20, SIZE_MAX};

BatchCheck check(const std::vector<uint8_t>& batch, const CheckOptions& options = kOptions) {
  // In a block of its own size, so that the address sanitizer sees any read behind the end.
  std::unique_ptr<uint8_t[]> exact(new uint8_t[batch.size()]);
  std::copy(batch.begin(), batch.end(), exact.get());
  ByteBuffer scratch;
  return checkBatch(exact.get(), batch.size(), options, scratch);
}

BatchProblem problemOf(const std::string& section, int count) {
  BatchCheck result = check(wrapBatch(section, count, Codec::none));
  CHECK(result.error == (result.problem == BatchProblem::none ? BatchError::none : BatchError::invalidRecord));
  return result.problem;
}

std::string record(std::string body) {
  std::string out;
  appendVarint(out, static_cast<int64_t>(body.size()));
  return out + body;
}

}  // namespace

TEST(check_accepts_random_batches_of_all_codecs) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    auto records = randomRecords(random, 1 + random() % 40, 300);
    for (Codec codec : kAll) {
      BatchCheck result = check(makeBatch(records, codec));
      CHECK(result.error == BatchError::none);
      CHECK_EQ(result.uncompressedBytes, recordsSection(records).size());
      int64_t highest = INT64_MIN;
      bool keyless = false;
      for (const auto& one : records) {
        highest = std::max(highest, one.timestampDelta);
        keyless |= !one.key;
      }
      CHECK_EQ(result.maxTimestamp, 1'700'000'000'000 + highest);
      CHECK_EQ(result.keyless, keyless);
      CHECK_EQ(records[static_cast<size_t>(result.offsetDeltaOfMaxTimestamp)].timestampDelta, highest);
    }
  }
}

TEST(check_names_what_is_wrong_with_a_record) {
  using namespace std::string_literals;
  std::string valid = record("\0\0\0\x01\x01\0"s);  // no key, no value, no headers
  CHECK(problemOf(valid, 1) == BatchProblem::none);
  CHECK(problemOf(valid + "x", 1) == BatchProblem::trailingBytes);
  CHECK(problemOf(valid, 2) == BatchProblem::recordVarint);
  CHECK(problemOf(valid + valid, 2) == BatchProblem::offsetDelta);
  CHECK(problemOf(record("\0\0\x02\x01\x01\0"s), 1) == BatchProblem::offsetDelta);
  CHECK(problemOf(record("\0\0\0\x01\x01\0x"s), 1) == BatchProblem::recordSize);
  CHECK(problemOf("\x01"s, 1) == BatchProblem::recordSize);                       // size -1
  CHECK(problemOf("\0"s, 1) == BatchProblem::recordVarint);                       // empty record
  CHECK(problemOf("\x0e\0\0\0\x01\x01\0"s, 1) == BatchProblem::recordSize);       // one byte short
  CHECK(problemOf(record("\0\0\0\x04\x01\0"s), 1) == BatchProblem::recordVarint); // key longer than the record
  CHECK(problemOf(record("\0\0\0\x01\x08\0"s), 1) == BatchProblem::recordVarint); // value longer than the record
  CHECK(problemOf(record("\0\0\0\x03\x01\0"s), 1) == BatchProblem::recordVarint); // key of -2 bytes
  CHECK(problemOf(record("\0\0\0\x01\x7f\0"s), 1) == BatchProblem::recordVarint); // value of -64 bytes
  CHECK(problemOf(record("\0\0\0\x01\x01\x02\0\x03"s), 1) == BatchProblem::recordVarint);
  CHECK(problemOf(record("\0\0\0\x01\x01\x01"s), 1) == BatchProblem::recordHeaderCount);
  CHECK(problemOf(record("\0\0\0\x01\x01\x02"s), 1) == BatchProblem::recordHeaderCount);
  CHECK(problemOf(record("\0\0\0\x01\x01\x02\x01\x01"s), 1) == BatchProblem::recordHeaderKey);
  CHECK(problemOf(record("\0\0\0\x01\x01\x02\0\x01"s), 1) == BatchProblem::none);
  CHECK(problemOf(record("\0\0\0\x01\x01\x02\0\x04"s), 1) == BatchProblem::recordVarint);
  CHECK(problemOf("\xff\xff\xff\xff\xff\xff"s, 1) == BatchProblem::recordVarint);
}

TEST(check_weighs_problems_as_kafka_does) {
  CheckOptions options = kOptions;
  options.requireKeys = true;
  options.nowMs = 1'700'000'000'000;
  options.timestampAfterMaxMs = 1000;
  std::vector<TestRecord> records(3);
  for (auto& one : records) one.key = "k";
  records[0].key.reset();
  records[2].timestampDelta = 5000;
  BatchCheck late = check(makeBatch(records), options);
  CHECK(late.error == BatchError::invalidTimestamp && late.errorRecords == std::vector<int32_t>({0, 2}));
  records[2].timestampDelta = 0;
  BatchCheck keyless = check(makeBatch(records), options);
  CHECK(keyless.problem == BatchProblem::missingKey && keyless.errorRecords == std::vector<int32_t>({0}));
  std::vector<TestRecord> many(kMaxErrorRecords + 1);
  CHECK_EQ(check(makeBatch(many), options).errorRecords.size(), kMaxErrorRecords);
  std::string section = recordsSection(records);
  section.back() = 2;  // the last record now claims a header
  CHECK(check(wrapBatch(section, 3, Codec::none), options).problem == BatchProblem::recordHeaderCount);
}

TEST(check_reads_a_batch_only_to_its_end) {
  std::vector<uint8_t> two = makeBatch({{std::string("k"), std::string("v"), {}, 0}});
  size_t one = two.size();
  two.resize(2 * one + 5);
  std::copy_n(two.begin(), one, two.begin() + static_cast<ptrdiff_t>(one));
  ByteBuffer scratch;
  auto checks = checkBatches(two.data(), two.size(), kOptions, 100, scratch);
  CHECK_EQ(checks.size(), 3u);
  CHECK(checks[1].error == BatchError::none);
  CHECK_EQ(checks[1].position, one);
  CHECK(checks[2].problem == BatchProblem::truncated);
  CHECK_EQ(checkBatches(two.data(), two.size(), kOptions, 1, scratch).size(), 1u);
}

TEST(check_does_not_overflow_on_extreme_timestamps) {
  std::vector<TestRecord> records(2);
  records[0].timestampDelta = INT64_MAX;
  records[1].timestampDelta = INT64_MIN;
  CheckOptions options = kOptions;
  options.nowMs = 1'700'000'000'000;
  options.timestampAfterMaxMs = 1000;
  CHECK(check(makeBatch(records), options).error == BatchError::invalidTimestamp);
  CHECK(check(makeBatch(records)).error == BatchError::none);
}

TEST(check_says_how_a_batch_is_to_be_stored) {
  std::mt19937 random(7);
  for (Codec codec : kAll) {
    auto batch = makeBatch(randomRecords(random, 5, 100), codec);
    // The helper's max timestamp is the base timestamp: corrected first, then left alone.
    BatchCheck wrong = check(batch);
    CHECK_EQ(wrong.storedMaxTimestamp, wrong.maxTimestamp);
    storeBe64(&batch[kBatchMaxTimestampAt], static_cast<uint64_t>(wrong.maxTimestamp));
    storeBatchCrc(batch.data(), batch.size());
    BatchCheck right = check(batch);
    CHECK_EQ(wrong.storedCrc, right.header.crc);
    CHECK_EQ(right.storedCrc, right.header.crc);
    CHECK_EQ(right.storedMaxTimestamp, right.header.maxTimestamp);
    CheckOptions appendTime = kOptions;
    appendTime.createTime = false;
    appendTime.nowMs = 1'800'000'000'000;
    BatchCheck result = check(batch, appendTime);
    CHECK_EQ(result.storedAttributes, result.header.attributes | kLogAppendTimeBit);
    CHECK_EQ(result.storedMaxTimestamp, appendTime.nowMs);
    storeBe16(&batch[kBatchAttributesAt], result.storedAttributes);
    storeBe64(&batch[kBatchMaxTimestampAt], static_cast<uint64_t>(result.storedMaxTimestamp));
    CHECK_EQ(result.storedCrc, crc32c(0, &batch[kBatchCrcStart], batch.size() - kBatchCrcStart));
    appendTime.fromClient = false;
    BatchCheck broker = check(makeBatch(randomRecords(random, 5, 100), codec), appendTime);
    CHECK_EQ(broker.storedCrc, broker.header.crc);
  }
}

TEST(recompressed_batches_hold_the_same_records) {
  std::mt19937 random(9);
  auto records = randomRecords(random, 20, 2000);
  std::string section = recordsSection(records);
  ByteBuffer scratch;
  ByteBuffer out;
  for (Codec from : kAll) {
    auto batch = makeBatch(records, from);
    for (Codec to : kAll) {
      recompressBatch(batch.data(), batch.size(), to, section.size(), scratch, out);
      BatchCheck result = check({out.data(), out.data() + out.size()});
      CHECK(result.error == BatchError::none);
      CHECK_EQ(result.header.compression(), static_cast<int>(to));
      CHECK_EQ(result.sizeBytes, out.size());
      CHECK_EQ(result.uncompressedBytes, section.size());
    }
    if (from == Codec::none) continue;
    bool refused = false;
    try {
      recompressBatch(batch.data(), batch.size(), Codec::none, section.size() - 1, scratch, out);
    } catch (const UncompressedTooLarge&) {
      refused = true;
    }
    CHECK(refused);
  }
}

TEST(reference_batch_is_valid_and_complete) {
  std::mt19937 random(5);
  CheckOptions options = kOptions;
  options.referenceMinBytes = 0;
  for (int round = 0; round < 50; ++round) {
    auto records = randomRecords(random, 1 + random() % 20, 500);
    for (Codec codec : kAll) {
      auto batch = makeBatch(records, codec);
      BatchCheck result = check(batch, options);
      CHECK(result.reference.size() > 0);
      storeBe64(&batch[0], 12345);
      CHECK(locateReference(result.reference.data(), result.reference.size(), batch.data(), {1, 2, 3}));
      CheckOptions broker = kOptions;
      broker.fromClient = false;
      ByteBuffer scratch;
      BatchCheck own = checkBatch(result.reference.data(), result.reference.size(), broker, scratch);
      CHECK(own.error == BatchError::none);
      CHECK_EQ(own.header.baseOffset, 12345);
      CHECK_EQ(own.header.attributes, kReferenceBit);
      CHECK_EQ(own.keyless, result.keyless);
      CHECK_EQ(own.maxTimestamp, result.maxTimestamp);
      std::string section = recordsSection(records);
      RecordCursor cursor(result.reference.data() + kBatchHeaderBytes, result.reference.size() - kBatchHeaderBytes);
      for (const auto& expected : records) {
        Record record;
        CHECK(cursor.next(record) == RecordFault::none);
        CHECK_EQ(record.value != nullptr, expected.value.has_value());
        if (!record.value) continue;
        CHECK_EQ(section.substr(loadBe32(record.value + 36), loadBe32(record.value + 40)), *expected.value);
        CHECK_EQ(loadBe32(record.value + 44), crc32c(0, expected.value->data(), expected.value->size()));
      }
    }
  }
}

namespace {

const uint8_t* bytesOf(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

ClaimSigner signerOf(const std::string& secret, const std::string& principal) {
  std::string error;
  const OpenSsl* openssl = OpenSsl::get(error);
  CHECK(openssl != nullptr);
  return {*openssl, bytesOf(secret), secret.size(), bytesOf(principal), principal.size()};
}

}  // namespace

TEST(references_get_a_claim_behind_them) {
  std::mt19937 random(23);
  CheckOptions options = kOptions;
  options.referenceMinBytes = 0;
  const std::vector<uint8_t> claim(kClaimBytes, 0xc1);
  const std::string secret = "secret", principal = "User:alice", other = "User:bob";
  const ClaimSigner signer = signerOf(secret, principal);
  for (int round = 0; round < 50; ++round) {
    auto records = randomRecords(random, 1 + random() % 20, 500);
    // Lengths of records that become longer.
    records[0].key = std::string(8000 + random() % 200, 'k');
    BatchCheck result = check(makeBatch(records), options);
    size_t length = result.reference.size();
    storeBe64(result.reference.data(), static_cast<uint64_t>(round));
    std::vector<uint8_t> out(signedBytes(result.reference.data(), length));
    CHECK(out.size() <= length + records.size() * kClaimGrowthBytes);
    size_t size = signReferences(result.reference.data(), length, claim.data(), signer, out.data(), out.size());
    CHECK(size >= length && size <= out.size());
    CheckOptions broker = kOptions;
    broker.fromClient = false;
    ByteBuffer scratch;
    CHECK(checkBatch(out.data(), size, broker, scratch).error == BatchError::none);
    RecordCursor before(result.reference.data() + kBatchHeaderBytes, length - kBatchHeaderBytes);
    RecordCursor after(out.data() + kBatchHeaderBytes, size - kBatchHeaderBytes);
    for (Record was, is; !before.atEnd();) {
      CHECK(before.next(was) == RecordFault::none && after.next(is) == RecordFault::none);
      auto text = [](const uint8_t* bytes, int32_t count) { return std::string(bytes, bytes + std::max(count, 0)); };
      CHECK(text(is.key, is.keyLength) == text(was.key, was.keyLength));
      CHECK(std::string(is.headers, is.headers + is.headersLength) == std::string(was.headers, was.headers + was.headersLength));
      CHECK(is.timestampDelta == was.timestampDelta && is.offsetDelta == was.offsetDelta);
      CHECK_EQ(is.value != nullptr, was.value != nullptr);
      if (!is.value) continue;
      CHECK_EQ(static_cast<size_t>(is.valueLength), kSignedReferenceBytes);
      CHECK(text(is.value, was.valueLength) == text(was.value, was.valueLength));
      const uint8_t* behind = is.value + kPayloadReferenceBytes;
      CHECK(std::equal(behind, behind + 20, claim.begin()) && std::equal(behind + 32, behind + 48, claim.begin()));
      CHECK_EQ(loadBe64(behind + 24), static_cast<uint64_t>(round));
      CHECK(isClaimRight(is.value, signer));
      CHECK(!isClaimRight(is.value, signerOf(secret, other)));
      CHECK(!isClaimRight(is.value, signerOf(other, principal)));
    }
    CHECK(after.atEnd());
    CHECK_EQ(signReferences(result.reference.data(), length, claim.data(), signer, out.data(), length - 1), 0u);
    CHECK_EQ(signReferences(result.reference.data(), length - 1, claim.data(), signer, out.data(), out.size()), 0u);
    std::vector<uint8_t> twice(result.reference.data(), result.reference.data() + length);
    twice.insert(twice.end(), result.reference.data(), result.reference.data() + length);
    std::vector<uint8_t> both(signedBytes(twice.data(), twice.size()));
    CHECK_EQ(signReferences(twice.data(), twice.size(), claim.data(), signer, both.data(), both.size()), 2 * size);
    CHECK(std::equal(out.begin(), out.begin() + static_cast<ptrdiff_t>(size), both.begin() + static_cast<ptrdiff_t>(size)));
  }
}

TEST(check_finds_the_crcs_of_the_pieces_of_what_it_reads_once) {
  std::mt19937 random(19);
  CheckOptions options = kOptions;
  options.referenceMinBytes = 0;
  for (int round = 0; round < 40; ++round) {
    // Values that end in pieces, go over several, and begin where one begins.
    auto records = randomRecords(random, 1 + random() % 12, round % 4 ? 90'000 : 300);
    if (round % 5 == 0) records[0].value = std::string(5 * kExtentPieceBytes, 'x');
    auto batch = makeBatch(records);
    BatchCheck result = check(batch, options);
    CHECK(result.error == BatchError::none && result.reference.size() > 0);
    std::string section = recordsSection(records);
    size_t pieces = section.size() < kPiecedExtentBytes ? 0 : (section.size() + kExtentPieceBytes - 1) / kExtentPieceBytes;
    CHECK_EQ(result.pieces.size(), pieces);
    for (size_t i = 0; i < pieces; ++i) {
      size_t start = i * kExtentPieceBytes;
      size_t length = std::min(kExtentPieceBytes, section.size() - start);
      CHECK_EQ(result.pieces[i], crc32c(0, section.data() + start, length));
    }
    size_t next = 0;
    RecordCursor cursor(result.reference.data() + kBatchHeaderBytes, result.reference.size() - kBatchHeaderBytes);
    for (Record record; !cursor.atEnd() && cursor.next(record) == RecordFault::none; ++next) {
      if (!record.value) continue;
      const std::string& value = *records[next].value;
      CHECK_EQ(loadBe32(record.value + 44), crc32c(0, value.data(), value.size()));
    }
    CHECK(check(makeBatch(records, Codec::lz4), options).pieces.empty());
  }
}

TEST(check_finds_the_same_whether_it_builds_references_or_not) {
  std::mt19937 random(13);
  CheckOptions plain = kOptions;
  for (int round = 0; round < 3000; ++round) {
    auto batch = makeBatch(randomRecords(random, 1 + random() % 8, round % 10 ? 60 : 20'000), kAll[random() % 3 ? 0 : random() % 5]);
    bool damaged = round % 3;
    if (damaged) batch[random() % batch.size()] ^= static_cast<uint8_t>(1 + random() % 255);
    if (round % 2) storeBatchCrc(batch.data(), batch.size());
    plain.fromClient = random() % 4;
    plain.verifyCrc = random() % 8;
    plain.requireKeys = random() % 2;
    plain.createTime = random() % 4;
    plain.nowMs = 1'700'000'000'000;
    plain.timestampAfterMaxMs = random() % 2 ? 300 : INT64_MAX;
    CheckOptions referring = plain;
    referring.referenceMinBytes = 0;
    BatchCheck expected = check(batch, plain);
    BatchCheck found = check(batch, referring);
    checkSameFindings(found, expected);
    CHECK_EQ(found.reference.size() > 0, found.error == BatchError::none && found.header.recordCount > 0);
  }
}

TEST(check_notices_damage_to_any_byte_of_what_it_reads_once) {
  std::mt19937 random(17);
  auto batch = makeBatch(randomRecords(random, 4, 30));
  CheckOptions options = kOptions;
  options.referenceMinBytes = 0;
  CHECK(check(batch, options).reference.size() > 0);
  for (size_t at = kBatchCrcAt; at < batch.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = batch;
      damaged[at] ^= static_cast<uint8_t>(1 << bit);
      BatchCheck result = check(damaged, options);
      CHECK(result.problem == BatchProblem::crc && result.error == BatchError::corruptMessage);
      CHECK_EQ(result.reference.size(), 0u);
    }
  }
}

TEST(fuzz_check_and_locate) {
  // Bounded by time so that it may run under a sanitizer; the seed is fixed, so a failure can be repeated.
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  std::mt19937 random(11);
  CheckOptions options{100'000, SIZE_MAX};
  options.referenceMinBytes = 0;
  for (int round = 0; round < 100'000 && std::chrono::steady_clock::now() < deadline; ++round) {
    Codec codec = kAll[random() % 5];
    auto batch = makeBatch(randomRecords(random, 1 + random() % 8, 60), codec);
    for (unsigned changes = 1 + random() % 5; changes > 0; --changes) {
      size_t start = random() % 3 ? kBatchHeaderBytes : 0;
      size_t at = start + random() % (batch.size() - start);
      if (random() % 8 == 0) batch.resize(std::max<size_t>(at, 1 + kBatchHeaderBytes));
      else if (random() % 4 == 0) batch[at] ^= static_cast<uint8_t>(1u << random() % 8);
      else batch[at] = static_cast<uint8_t>(random() % 4 ? random() : 0xff);
    }
    if (random() % 4) storeBe32(&batch[8], static_cast<uint32_t>(batch.size() - kBatchLogOverhead));
    storeBatchCrc(batch.data(), batch.size());
    options.fromClient = random() % 2;
    BatchCheck result = check(batch, options);
    CHECK(result.sizeBytes <= batch.size() && result.sizeBytes > 0);
    if (result.reference.size() == 0) continue;
    locateReference(result.reference.data(), result.reference.size(), batch.data(), {1, 2, 3});
    // A damaged reference batch must be refused or patched, never read outside.
    std::vector<uint8_t> reference(result.reference.data(), result.reference.data() + result.reference.size());
    reference[random() % reference.size()] = static_cast<uint8_t>(random());
    std::unique_ptr<uint8_t[]> exact(new uint8_t[reference.size()]);
    std::copy(reference.begin(), reference.end(), exact.get());
    locateReference(exact.get(), reference.size(), batch.data(), {1, 2, 3});
    const uint8_t claim[kClaimBytes] = {};
    size_t room = reference.size() + random() % (10 * kClaimGrowthBytes);
    std::unique_ptr<uint8_t[]> out(new uint8_t[room]);
    const std::string secret(32, 0);
    const ClaimSigner signer = signerOf(secret, secret);
    CHECK(signReferences(exact.get(), reference.size(), claim, signer, out.get(), room) <= room);
    CHECK(signedBytes(exact.get(), reference.size()) >= reference.size());
  }
}
