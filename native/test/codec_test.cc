#include "codec/codec.h"

#include <random>
#include <string>
#include <vector>

#include "batch/bytes.h"
#include "test/test.h"

using namespace kafabric;

namespace {

constexpr Codec kAll[] = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};

std::string sample(size_t length) {
  std::mt19937 random(static_cast<unsigned>(length));
  std::string text(length, 'a');
  for (size_t i = 0; i < length; i += 1 + random() % 6) text[i] = static_cast<char>(random());
  return text;
}

const uint8_t* raw(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }
std::string text(const ByteBuffer& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string packed(Codec codec, const std::string& input) {
  ByteBuffer out;
  compress(codec, raw(input), input.size(), out);
  return text(out);
}
std::string unpacked(Codec codec, const std::string& input, size_t limit) {
  ByteBuffer out;
  decompress(codec, raw(input), input.size(), limit, out);
  return text(out);
}
template <typename Error>
bool throws(Codec codec, const std::string& input, size_t limit) {
  try {
    unpacked(codec, input, limit);
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace

TEST(codecs_give_back_what_they_were_given) {
  for (Codec codec : kAll) {
    for (size_t length : {0, 1, 100, 32'768, 32'769, 65'536, 1'000'000}) {
      std::string input = sample(length);
      CHECK(unpacked(codec, packed(codec, input), length) == input);
    }
  }
}

TEST(codecs_append_behind_what_is_there) {
  for (Codec codec : kAll) {
    ByteBuffer out;
    out.append("before", 6);
    std::string input = packed(codec, sample(5000));
    decompress(codec, raw(input), input.size(), 5000, out);
    CHECK(text(out) == "before" + sample(5000));
  }
}

TEST(codecs_stop_at_the_limit) {
  for (Codec codec : kAll) {
    for (size_t length : {1, 100, 100'000}) {
      std::string input = packed(codec, std::string(length, 'z'));
      CHECK(unpacked(codec, input, length).size() == length);
      CHECK(throws<UncompressedTooLarge>(codec, input, length - 1));
    }
  }
}

TEST(codecs_stop_early_at_a_bomb) {
  for (Codec codec : {Codec::gzip, Codec::lz4, Codec::zstd}) {
    std::string bomb = packed(codec, std::string(64 << 20, '\0'));
    ByteBuffer out;
    try {
      decompress(codec, raw(bomb), bomb.size(), 1 << 20, out);
      CHECK(false);
    } catch (const UncompressedTooLarge&) {
    }
    CHECK(out.capacity() <= size_t{4} << 20);
  }
}

TEST(codecs_refuse_torn_input) {
  for (Codec codec : {Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    std::string whole = packed(codec, sample(3000));
    for (size_t length = 0; length < whole.size(); length += 1 + length / 16) {
      // A stream of snappy blocks has no end mark: the header alone is an empty stream.
      if (codec == Codec::snappy && length == 16) continue;
      CHECK(throws<CodecError>(codec, whole.substr(0, length), 1 << 20));
    }
  }
}

TEST(codecs_survive_mutations) {
  std::mt19937 random(7);
  for (Codec codec : {Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    std::string whole = packed(codec, sample(20'000));
    for (int round = 0; round < 1000; ++round) {
      std::string input = whole;
      for (unsigned changes = 1 + random() % 4; changes > 0; --changes)
        input[random() % std::min<size_t>(input.size(), 1u << (4 + random() % 12))] = static_cast<char>(random());
      ByteBuffer out;
      try {
        decompress(codec, raw(input), input.size(), 100'000, out);
      } catch (const CodecError&) {
      }
      // The limit, the one byte that shows that it was crossed, and what doubling adds.
      CHECK(out.size() <= 100'001);
      CHECK(out.capacity() <= 400'000);
    }
  }
}

TEST(snappy_reads_bare_blocks_and_concatenated_streams) {
  std::string framed = packed(Codec::snappy, sample(1000));
  CHECK(unpacked(Codec::snappy, framed.substr(20), 1000) == sample(1000));
  CHECK(unpacked(Codec::snappy, framed + framed, 2000) == sample(1000) + sample(1000));
  std::string declaresTooMuch("\xff\xff\xff\xff\x07\x00", 6);
  CHECK(throws<CodecError>(Codec::snappy, declaresTooMuch, SIZE_MAX / 2));
}

TEST(gzip_and_zstd_read_concatenated_streams) {
  for (Codec codec : {Codec::gzip, Codec::zstd}) {
    std::string one = packed(codec, sample(1000));
    CHECK(unpacked(codec, one + one, 2000) == sample(1000) + sample(1000));
  }
}
