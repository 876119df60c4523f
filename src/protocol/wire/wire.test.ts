import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ProtocolError } from './errors.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

function written(write: (w: Writer) => void): Uint8Array {
  const writer = new Writer(1);
  write(writer);
  return writer.finishBytes();
}

function readBack<T>(write: (w: Writer) => void, read: (r: Reader) => T): T {
  const reader = new Reader(written(write));
  const value = read(reader);
  assert.equal(reader.remaining, 0);
  return value;
}

function read<T>(bytes: number[], what: (r: Reader) => T): T {
  return what(new Reader(Uint8Array.from(bytes)));
}

describe('Reader and Writer', () => {
  it('carry varints at their limits', () => {
    for (const value of [0, 1, -1, 63, 64, -64, -65, 2 ** 31 - 1, -(2 ** 31)]) {
      assert.equal(
        readBack(
          (w) => w.varint(value),
          (r) => r.varint(),
        ),
        value,
      );
    }
    for (const value of [0n, -1n, 2n ** 27n, -(2n ** 27n) - 1n, 2n ** 31n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      assert.equal(
        readBack(
          (w) => w.varlong(value),
          (r) => r.varlong(),
        ),
        value,
      );
      const rounded = readBack(
        (w) => w.varlong(value),
        (r) => r.varlongNumber(),
      );
      // What is beyond 2^52 is rounded.
      assert.ok(Math.abs(rounded - Number(value)) <= Math.abs(Number(value)) * Number.EPSILON, `${value}`);
      if (Number.isSafeInteger(Number(value))) assert.equal(rounded, Number(value));
    }
    assert.equal(
      readBack(
        (w) => w.uvarint(2 ** 32 - 1),
        (r) => r.uvarint(),
      ),
      2 ** 32 - 1,
    );
  });

  it('refuse varints that are too long', () => {
    assert.throws(() => read([0xff, 0xff, 0xff, 0xff, 0x1f], (r) => r.uvarint()), ProtocolError);
    assert.throws(() => read(new Array(6).fill(0x80), (r) => r.uvarint()), ProtocolError);
    assert.throws(() => read([...new Array(9).fill(0xff), 2], (r) => r.varlong()), ProtocolError);
    assert.throws(() => read(new Array(11).fill(0x80), (r) => r.varlong()), ProtocolError);
    assert.throws(() => read([...new Array(9).fill(0xff), 2], (r) => r.varlongNumber()), ProtocolError);
    assert.throws(() => read(new Array(11).fill(0x80), (r) => r.varlongNumber()), ProtocolError);
    assert.throws(() => read([1, 2], (r) => r.skip(3)), ProtocolError);
    assert.throws(() => read([1, 2], (r) => r.skip(-1)), ProtocolError);
  });

  it('carry any text', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ maxLength: 40 }));
    fc.assert(
      fc.property(text, (value) => {
        const valid = Buffer.from(value).toString(); // lone surrogates do not survive UTF-8
        assert.equal(
          readBack(
            (w) => w.string(value),
            (r) => r.string(),
          ),
          valid,
        );
        assert.equal(
          readBack(
            (w) => w.compactString(value),
            (r) => r.compactString(),
          ),
          valid,
        );
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('know texts that were read before by their bytes', () => {
    const names = Array.from({ length: 3000 }, (_, i) => `topic-${i}`);
    // Of the same bytes as others in another encoding, and of bytes that are no text.
    const others = ['\u00c3\u00a9', '\u00e9', '\u00e9\u00e9', 'topic-\u00e9'].map((text) =>
      Buffer.from(text),
    );
    const bytes = [
      ...names.map((name) => Buffer.from(name)),
      ...others,
      Buffer.of(0xc3),
      Buffer.of(0x80, 0x41),
    ];
    for (let round = 0; round < 2; round++)
      for (const each of bytes) {
        const reader = new Reader(Buffer.concat([Buffer.of(each.length + 1), each]));
        assert.equal(reader.compactString(), each.toString());
      }
  });

  it('carry integers at their limits, in the middle of other memory', () => {
    const bytes = written((w) => {
      for (const value of [-128, 127, -1]) w.int8(value);
      for (const value of [-32768, 32767, -1]) w.int16(value);
      w.uint16(65535);
      for (const value of [-(2 ** 31), 2 ** 31 - 1, -1]) w.int32(value);
      w.uint32(2 ** 32 - 1);
      for (const value of [-(2n ** 63n), 2n ** 63n - 1n]) w.int64(value);
      w.uuid('AAAAAAAAAAAAAAAAAAAAAQ');
      w.compactRecords(Uint8Array.of(1, 2, 3));
    });
    const memory = new Uint8Array(bytes.length + 9);
    memory.set(bytes, 5);
    const reader = new Reader(memory.subarray(5, 5 + bytes.length));
    assert.deepEqual([reader.int8(), reader.int8(), reader.int8()], [-128, 127, -1]);
    assert.deepEqual([reader.int16(), reader.int16(), reader.int16()], [-32768, 32767, -1]);
    assert.equal(reader.uint16(), 65535);
    assert.deepEqual([reader.int32(), reader.int32(), reader.int32()], [-(2 ** 31), 2 ** 31 - 1, -1]);
    assert.equal(reader.uint32(), 2 ** 32 - 1);
    assert.deepEqual([reader.int64(), reader.int64()], [-(2n ** 63n), 2n ** 63n - 1n]);
    assert.equal(reader.uuid(), 'AAAAAAAAAAAAAAAAAAAAAQ');
    assert.deepEqual([...reader.compactRecords()!], [1, 2, 3]);
    assert.equal(reader.remaining, 0);
  });

  it('refuse text that Kafka cannot carry', () => {
    const longest = 'x'.repeat(32767);
    assert.equal(
      readBack(
        (w) => w.compactString(longest),
        (r) => r.compactString(),
      ),
      longest,
    );
    for (const text of [`${longest}x`, 'ü'.repeat(16384)]) {
      assert.throws(() => written((w) => w.string(text)), ProtocolError);
      assert.throws(() => written((w) => w.compactString(text)), ProtocolError);
    }
    assert.throws(() => written((w) => w.string(null)), ProtocolError);
    assert.throws(() => read([0xff, 0xff], (r) => r.string()), ProtocolError);
    assert.throws(() => read([0], (r) => r.compactString()), ProtocolError);
  });

  it('refuse what is no UTF-8 where it would be too long to be written again', () => {
    const bytes = (length: number) =>
      Buffer.concat([Buffer.from([length >> 8, length & 0xff]), Buffer.alloc(length, 0xff)]);
    const longest = new Reader(bytes(10_922)).string();
    assert.equal(longest, '\ufffd'.repeat(10_922));
    const echo = readBack(
      (w) => w.string(longest),
      (r) => r.string(),
    );
    assert.equal(echo, longest);
    for (const length of [10_923, 32_767])
      assert.throws(() => new Reader(bytes(length)).string(), ProtocolError);
  });

  it('refuse what is no uuid', () => {
    for (const text of ['', 'AAAAAAAAAAAAAAAAAAAAA', '!AAAAAAAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAAAAAAAAA']) {
      assert.throws(() => written((w) => w.uuid(text)), ProtocolError);
    }
  });

  it('check counts against the bytes that are left before anything is allocated', () => {
    assert.equal(
      read([0, 0, 0, 2, 9, 9], (r) => r.arrayLength(1)),
      2,
    );
    assert.throws(() => read([0, 0, 0, 2, 9, 9], (r) => r.arrayLength(2)), ProtocolError);
    assert.throws(() => read([0x7f, 0xff, 0xff, 0xff], (r) => r.arrayLength(1)), ProtocolError);
    assert.throws(() => read([0xff, 0xff, 0xff, 0xff], (r) => r.arrayLength(1)), ProtocolError);
    assert.equal(
      read([0xff, 0xff, 0xff, 0xff], (r) => r.nullableArrayLength(1)),
      -1,
    );
    assert.throws(() => read([0xff, 0xff, 0xff, 0xff, 0x0f], (r) => r.compactArrayLength(1)), ProtocolError);
    assert.throws(() => read([0x7f, 0xff, 0xff, 0xff], (r) => r.bytes()), ProtocolError);
  });

  it('limit the elements of all arrays together', () => {
    const reader = new Reader(Uint8Array.of(3, 4, 5, 6, 7), 0, 5, 4);
    assert.equal(reader.compactArrayLength(1), 2);
    assert.throws(() => reader.compactArrayLength(1), /too many array elements/);
  });

  it('limit how many texts are so long that maps compare each with each', () => {
    const text = Buffer.alloc(16_384, 'x');
    const length = Buffer.of(text.length >> 8, text.length & 0xff);
    const reader = new Reader(Buffer.concat(Array.from({ length: 1_001 }, () => [length, text]).flat()));
    for (let i = 0; i < 1_000; i++) assert.equal(reader.string().length, text.length);
    assert.throws(() => reader.string(), /too many strings of 16 KiB and more/);
  });

  it('skip tagged fields, and refuse those that do not fit', () => {
    const reader = new Reader(Uint8Array.of(2, 5, 1, 0xaa, 9, 0, 7));
    reader.skipTags();
    assert.equal(reader.remaining, 1);
    assert.throws(() => read([1, 0, 2, 0], (r) => r.skipTags()), ProtocolError);
    assert.throws(() => read([2, 0, 0], (r) => r.skipTags()), ProtocolError);
  });

  it('put the size in front of tagged fields of any length', () => {
    for (const length of [0, 1, 127, 128, 20_000]) {
      const bytes = written((w) => {
        const start = w.beginTag(3);
        w.raw(new Uint8Array(length).fill(7));
        w.endTag(start);
        w.int8(1);
      });
      const reader = new Reader(bytes);
      assert.equal(reader.uvarint(), 3);
      const end = reader.beginTag();
      assert.ok(reader.view(length).every((byte) => byte === 7));
      reader.endTag(end);
      assert.equal(reader.int8(), 1);
    }
  });

  it('pass record payloads through without copying or looking at them', () => {
    const large = new Uint8Array(4096);
    const small = Uint8Array.of(1, 2, 3);
    const writer = new Writer();
    writer.int32(7);
    writer.records([small]);
    writer.nullableRecords(large);
    writer.compactRecords([small, large]);
    writer.nullableRecords(null);
    const pieces = writer.finish();
    assert.equal(pieces[1], large);
    assert.equal(pieces[3], large);
    assert.equal(pieces.length, 5);
    assert.equal(
      pieces.reduce((sum, piece) => sum + piece.byteLength, 0),
      writer.length,
    );
    const reader = new Reader(writer.finishBytes());
    assert.equal(reader.int32(), 7);
    assert.deepEqual([...reader.records()], [1, 2, 3]);
    assert.equal(reader.nullableRecords()!.byteLength, 4096);
    assert.equal(reader.compactRecords().byteLength, 4099);
    assert.equal(reader.nullableRecords(), null);
  });

  it('keep opaque pieces in their places', () => {
    const segment = { byteLength: 100 };
    const writer = new Writer();
    writer.records([segment]);
    writer.int8(1);
    const pieces = writer.finish();
    assert.deepEqual(Buffer.from(pieces[0] as Uint8Array), Buffer.of(0, 0, 0, 100));
    assert.equal(pieces[1], segment);
    assert.deepEqual(Buffer.from(pieces[2] as Uint8Array), Buffer.of(1));
    assert.throws(() => writer.finishBytes(), ProtocolError);
  });

  it('make one message after the other in the same memory', () => {
    const writer = new Writer(8);
    const message = (length: number) => {
      writer.restart().int32(0);
      writer.raw(new Uint8Array(length).fill(length));
      writer.compactRecords([{ byteLength: length }]);
      writer.int32At(0, writer.length);
      return writer.finish().map((piece) => (piece instanceof Uint8Array ? [...piece] : piece.byteLength));
    };
    assert.deepEqual(message(3), [[0, 0, 0, 11, 3, 3, 3, 4], 3]);
    assert.ok(Array.isArray(message(100_000)[0]));
    assert.deepEqual(message(1), [[0, 0, 0, 7, 1, 2], 1]);
    writer.restart().int8(9);
    assert.deepEqual([writer.length, [...writer.finishBytes()]], [1, [9]]);
  });
});
