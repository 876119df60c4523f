import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { arenaStats, NativeMemory } from './arena.ts';
import {
  buildReferenceBatch,
  checkBatches,
  checkBatchesAsync,
  checkBatchesSoon,
  crc32c,
  locateReferenceBatch,
  recompressBatch,
  storeTimestamps,
} from './batch.ts';
import { Codec, compress, decompress } from './codec.ts';
import { MemoryPiece } from './pieces.ts';

/** Made by Apache Kafka's client library; see fixtures/MakeBatches.java. */
const fixtures = JSON.parse(
  readFileSync(new URL('../../../src/native/fixtures/batches.json', import.meta.url), 'utf8'),
) as Record<string, string>;
const fixture = (name: string): Buffer => Buffer.from(fixtures[name]!, 'hex');
const codecs = Object.entries(Codec).map(([name, codec]) => [name.toLowerCase(), codec] as const);
const limits = { maxUncompressedBytes: 1 << 20 };

const toMemory = (bytes: Uint8Array): MemoryPiece => {
  const memory = NativeMemory.allocate(bytes.length);
  assert.ok(memory);
  memory.bytes().set(bytes);
  return new MemoryPiece(memory);
};
const withCrc = (batch: Buffer): Buffer => {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
};

describe('crc32c', () => {
  it('gives the known values and continues from a seed', () => {
    const digits = Buffer.from('123456789');
    assert.equal(crc32c(digits), 0xe3069283);
    assert.equal(crc32c(digits.subarray(4), crc32c(digits.subarray(0, 4))), 0xe3069283);
    assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
    assert.equal(crc32c(Buffer.alloc(0)), 0);
  });
});

describe('checkBatches', () => {
  for (const [name] of codecs) {
    it(`accepts what Kafka's client writes with ${name}`, () => {
      const [check, ...more] = checkBatches(fixture(`mixed-${name}`), limits);
      assert.equal(more.length, 0);
      assert.ok(check);
      assert.equal(check.error, 0, check.errorMessage ?? '');
      assert.equal(check.recordCount, 5);
      assert.equal(check.keyless, true);
      assert.equal(check.maxTimestamp, 1_700_000_070_000n);
      assert.equal(check.headerMaxTimestamp, 1_700_000_070_000n);
      assert.equal(check.offsetDeltaOfMaxTimestamp, 1);
      assert.equal(check.uncompressedBytes, fixture('mixed-none').length - 61);
      assert.equal(check.producerId, -1n);
    });
  }

  it('reads producer state and refuses control, reference and LogAppendTime batches of clients', () => {
    const [idempotent] = checkBatches(fixture('idempotent'), limits);
    assert.equal(idempotent?.error, 0);
    assert.equal(idempotent?.producerId, 4711n);
    assert.equal(idempotent?.producerEpoch, 3);
    assert.equal(idempotent?.baseSequence, 42);
    assert.equal(idempotent?.keyless, false);
    const changed = (bit: number): Buffer => {
      const batch = fixture('transactional');
      batch.writeUInt16BE(batch.readUInt16BE(21) | bit, 21);
      return withCrc(batch);
    };
    assert.equal(checkBatches(changed(0), limits)[0]?.error, 0);
    assert.equal(checkBatches(changed(0x20), limits)[0]?.error, 87);
    assert.equal(checkBatches(changed(0x20), { ...limits, origin: 'broker' })[0]?.error, 0);
    assert.equal(checkBatches(changed(0x4000), limits)[0]?.error, 87);
    assert.equal(checkBatches(fixture('log-append-time'), limits)[0]?.error, 32);
  });

  it('refuses wrong CRC, torn batches, old formats, other base offsets and counts', () => {
    const edit = (change: (batch: Buffer) => void): Buffer => {
      const batch = fixture('keyed-none');
      change(batch);
      return batch;
    };
    const errorOf = (batch: Buffer): number | undefined => checkBatches(batch, limits)[0]?.error;
    assert.equal(errorOf(edit((b) => (b[100]! ^= 1))), 2);
    assert.equal(errorOf(fixture('keyed-none').subarray(0, -1)), 2);
    assert.equal(errorOf(fixture('keyed-none').subarray(0, 20)), 2);
    assert.equal(errorOf(edit((b) => b.writeInt8(1, 16))), 87);
    assert.equal(errorOf(edit((b) => b.writeInt8(3, 16))), 2);
    assert.equal(errorOf(edit((b) => b.writeInt32BE(-1, 8))), 2);
    assert.equal(errorOf(edit((b) => b.writeBigInt64BE(5n, 0))), 87);
    assert.equal(errorOf(withCrc(edit((b) => b.writeInt32BE(69, 57)))), 87);
    assert.equal(errorOf(withCrc(edit((b) => b.writeInt32BE(0, 57)))), 87);
    assert.equal(checkBatches(fixture('keyed-none'), { ...limits, maxBatchBytes: 100 })[0]?.error, 10);
  });

  it('leaves to a worker what would hold up the event loop, though each batch is small', async () => {
    const varint = (value: number): number[] => {
      const bytes: number[] = [];
      let rest = value * 2;
      for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
      return [...bytes, rest];
    };
    // One record: no attributes, deltas of 0, no key, a value of zeros, no headers.
    const value = Buffer.alloc(200_000);
    const before = Buffer.from([0, 0, 0, 1, ...varint(value.length)]);
    const size = Buffer.from(varint(before.length + value.length + 1));
    const plain = Buffer.concat([fixture('keyed-none').subarray(0, 61), size, before, value, Buffer.of(0)]);
    plain.writeInt32BE(plain.length - 12, 8);
    plain.writeInt32BE(0, 23);
    plain.writeInt32BE(1, 57);
    const batch = await recompressBatch(withCrc(plain), Codec.ZSTD, 1 << 20);
    assert.ok(batch instanceof Uint8Array);
    await setImmediate();
    const answers = Array.from({ length: 60 }, () => checkBatchesSoon(batch, limits));
    assert.ok(Array.isArray(answers[0]));
    assert.ok(answers.at(-1) instanceof Promise);
    for (const answer of answers) assert.equal((await answer)[0]?.error, 0);
    await setImmediate();
    assert.ok(Array.isArray(checkBatchesSoon(batch, limits)));
  });

  it('looks at no other batch than the first where that is all that is wanted', async () => {
    const batch = fixture('keyed-zstd');
    const few = Buffer.concat([batch, batch]);
    const many = Buffer.concat(Array.from({ length: 1000 }, () => batch));
    for (const bytes of [few, many]) {
      const all = bytes.byteLength / batch.byteLength;
      for (const check of [checkBatches, checkBatchesAsync, checkBatchesSoon]) {
        assert.equal((await check(bytes, limits)).length, all, check.name);
        const [first, ...others] = await check(bytes, { ...limits, onlyFirst: true });
        assert.deepEqual([first?.error, first?.sizeBytes, others], [0, batch.byteLength, []], check.name);
      }
    }
  });

  it('refuses records without a key and timestamps out of range, and names the record', () => {
    const [keyless] = checkBatches(fixture('mixed-zstd'), { ...limits, requireKeys: true });
    assert.equal(keyless?.error, 87);
    assert.deepEqual(keyless?.errorRecords, [1]);
    const [keyed] = checkBatches(fixture('keyed-none'), { ...limits, requireKeys: true });
    assert.deepEqual(keyed?.errorRecords, []);
    const [late] = checkBatches(fixture('mixed-lz4'), {
      ...limits,
      nowMs: 1_700_000_000_000,
      timestampAfterMaxMs: 60_000,
    });
    assert.equal(late?.error, 32);
    assert.deepEqual(late?.errorRecords, [1, 3]);
    const old = { ...limits, nowMs: 1_700_000_070_000, timestampBeforeMaxMs: 70_000 };
    assert.deepEqual(checkBatches(fixture('mixed-none'), old)[0]?.errorRecords, [2]);
    assert.equal(checkBatches(fixture('mixed-none'), { ...old, timestampBeforeMaxMs: 70_005 })[0]?.error, 0);
  });

  it('bounds decompression', () => {
    for (const [name] of codecs.slice(1)) {
      const size = fixture('mixed-none').length - 61;
      const bounded = (bytes: number): number | undefined =>
        checkBatches(fixture(`mixed-${name}`), { maxUncompressedBytes: bytes })[0]?.error;
      assert.equal(bounded(size), 0, name);
      assert.equal(bounded(size - 1), 10, name);
    }
  });

  it('checks many batches, also on a worker', async () => {
    const one = fixture('keyed-snappy');
    const many = Buffer.concat([...new Array<Buffer>(100).fill(one), one.subarray(0, 50)]);
    const checks = checkBatches(many, limits);
    assert.equal(checks.length, 101);
    assert.equal(checks[99]?.position, 99 * one.length);
    assert.equal(checks[99]?.error, 0);
    assert.equal(checks[100]?.error, 2);
    const piece = toMemory(many);
    assert.deepEqual(await checkBatchesAsync(piece, limits), checks);
    piece.memory.release();
  });
});

describe('checkBatchesSoon', () => {
  /** A batch around compressed zeros, which are no valid records. */
  const zeros = (codec: Codec, byteLength: number): Buffer => {
    const section = compress(codec, Buffer.alloc(byteLength));
    const batch = Buffer.concat([fixture('keyed-none').subarray(0, 61), section]);
    batch.writeInt32BE(batch.length - 12, 8);
    batch.writeUInt16BE(codec, 21);
    return withCrc(batch);
  };

  it('answers at once for what is small', () => {
    const checks = checkBatchesSoon(fixture('mixed-zstd'), limits);
    assert.ok(Array.isArray(checks));
    assert.equal(checks[0]?.error, 0);
    const refused = checkBatchesSoon(zeros(Codec.GZIP, 20_000), { maxUncompressedBytes: 10_000 });
    assert.ok(Array.isArray(refused));
    assert.equal(refused[0]?.error, 10);
  });

  it('leaves what is large, or becomes large, to a worker', async () => {
    for (const codec of [Codec.GZIP, Codec.LZ4, Codec.ZSTD]) {
      const bomb = zeros(codec, 4 << 20);
      const checks = checkBatchesSoon(bomb, { maxUncompressedBytes: 8 << 20 });
      assert.ok(checks instanceof Promise);
      bomb.fill(0);
      assert.equal((await checks)[0]?.error, 87);
      const [tooLarge] = await checkBatchesSoon(zeros(codec, 4 << 20), { maxUncompressedBytes: 1 << 20 });
      assert.equal(tooLarge?.error, 10);
    }
    const large = Buffer.concat(new Array<Buffer>(100).fill(fixture('keyed-none')));
    const checks = await checkBatchesSoon(large, limits);
    assert.deepEqual(checks, checkBatches(large, limits));
  });
});

describe('storeTimestamps', () => {
  it('stores the append time, with the CRC that the check computed', () => {
    for (const [name] of codecs) {
      const batch = fixture(`keyed-${name}`);
      const options = { ...limits, timestampType: 'LogAppendTime', nowMs: 1_800_000_000_000 } as const;
      const [found] = checkBatches(batch, options);
      storeTimestamps(batch, found!);
      const [check] = checkBatches(batch, { ...limits, origin: 'broker' });
      assert.equal(check?.error, 0);
      assert.equal(check?.headerMaxTimestamp, 1_800_000_000_000n);
      assert.equal(check?.attributes, found!.attributes | 8);
    }
  });

  it('corrects a wrong max timestamp, and leaves a right one alone', async () => {
    const batch = fixture('keyed-gzip');
    batch.writeBigInt64BE(5n, 35);
    const input = toMemory(withCrc(batch));
    const [found] = await checkBatchesAsync(input, limits);
    storeTimestamps(input, found!);
    assert.deepEqual(Buffer.from(input.bytes()), fixture('keyed-gzip'));
    const [again] = checkBatches(input, limits);
    storeTimestamps(input, again!);
    assert.deepEqual(Buffer.from(input.bytes()), fixture('keyed-gzip'));
    input.memory.release();
  });
});

describe('recompressBatch', () => {
  it('keeps header and records, from and to every codec', async () => {
    for (const [from, source] of codecs) {
      const batch = fixture(`mixed-${from}`);
      const records = decompress(source, batch.subarray(61), 1 << 20);
      for (const [, codec] of codecs) {
        const input = toMemory(batch);
        const packed = await recompressBatch(input, codec, records.length);
        assert.deepEqual(packed, await recompressBatch(batch, codec, records.length));
        input.memory.release();
        assert.ok(packed instanceof Uint8Array);
        const [check] = checkBatches(packed, limits);
        assert.equal(check?.error, 0);
        assert.equal(check?.attributes, codec);
        assert.equal(check?.sizeBytes, packed.byteLength);
        assert.deepEqual(packed.subarray(23, 61), Uint8Array.from(batch.subarray(23, 61)));
        assert.deepEqual(decompress(codec, packed.subarray(61), 1 << 20), records);
      }
    }
  });

  it('gives large results in native memory, and as bytes when there is no room for them', async () => {
    const batch = Buffer.concat([fixture('mixed-none').subarray(0, 61), Buffer.alloc(100_000, 'a')]);
    const used = arenaStats().usedBytes;
    const packed = await recompressBatch(batch, Codec.NONE, 1 << 20);
    assert.ok(packed instanceof MemoryPiece);
    const bytes = Buffer.from(packed.bytes());
    assert.deepEqual(bytes.subarray(61), batch.subarray(61));
    assert.equal(bytes.readInt32BE(8), batch.length - 12);
    packed.memory.release();
    assert.equal(arenaStats().usedBytes, used);
    const room = NativeMemory.allocate(arenaStats().capacityBytes - used);
    try {
      assert.deepEqual(await recompressBatch(batch, Codec.NONE, 1 << 20), Uint8Array.from(bytes));
    } finally {
      room?.release();
    }
  });

  it('refuses what cannot be read', async () => {
    const torn = fixture('mixed-gzip').subarray(0, 100);
    await assert.rejects(recompressBatch(torn, Codec.ZSTD, 1 << 20), { code: 'EINVAL' });
    await assert.rejects(recompressBatch(torn.subarray(0, 60), Codec.ZSTD, 1 << 20), RangeError);
    await assert.rejects(recompressBatch(fixture('mixed-gzip'), Codec.NONE, 10), { code: 'EINVAL' });
  });
});

/** Key, value and header bytes of each record of an uncompressed batch, read without the code under test. */
function readRecords(section: Buffer): { key: Buffer | null; value: Buffer | null; headers: Buffer }[] {
  let at = 0;
  const varint = (): number => {
    let raw = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = section[at++]!;
      raw |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number((raw >> 1n) ^ -(raw & 1n));
    }
  };
  const bytes = (): Buffer | null => {
    const length = varint();
    if (length < 0) return null;
    at += length;
    return section.subarray(at - length, at);
  };
  const records = [];
  while (at < section.length) {
    const end = varint() + at;
    at++;
    varint();
    varint();
    const key = bytes();
    const value = bytes();
    records.push({ key, value, headers: section.subarray(at, end) });
    at = end;
  }
  return records;
}

describe('reference batches', () => {
  const location = { storeId: 7, segmentId: 2n ** 63n + 5n, extentPosition: 2 ** 40 };

  for (const [name, codec] of codecs) {
    it(`keep keys and headers and point into the extent (${name})`, () => {
      const original = fixture(`mixed-${name}`);
      original.writeBigInt64BE(1000n, 0);
      original.writeInt32BE(4, 12);
      const reference = Buffer.from(buildReferenceBatch(original, location));
      const [check] = checkBatches(reference, { ...limits, origin: 'broker' });
      assert.equal(check?.error, 0);
      assert.equal(check?.attributes, 0x4000);
      assert.equal(check?.baseOffset, 1000n);
      assert.equal(check?.partitionLeaderEpoch, 4);
      const records = readRecords(Buffer.from(decompress(codec, original.subarray(61), 1 << 20)));
      const references = readRecords(reference.subarray(61));
      assert.equal(references.length, records.length);
      for (const [i, { key, value, headers }] of references.entries()) {
        assert.deepEqual({ key, headers }, { key: records[i]!.key, headers: records[i]!.headers });
        assert.equal(value === null, records[i]!.value === null);
        if (value === null) continue;
        assert.equal(value.length, 64);
        assert.equal(value.toString('latin1', 0, 4), 'KFPR');
        assert.equal(value[4], 1);
        assert.equal(value.readUInt16BE(6), codec);
        assert.equal(value.readUInt32BE(8), original.readUInt32BE(17));
        assert.equal(value.readUInt32BE(12), 7);
        assert.equal(value.readBigUInt64BE(16), 2n ** 63n + 5n);
        assert.equal(value.readBigUInt64BE(24), 2n ** 40n);
        assert.equal(value.readUInt32BE(32), original.length - 61);
        const section = Buffer.from(decompress(codec, original.subarray(61), 1 << 20));
        const from = value.readUInt32BE(36);
        const bytes = section.subarray(from, from + value.readUInt32BE(40));
        assert.deepEqual(bytes, records[i]!.value);
        assert.equal(value.readUInt32BE(44), crc32c(bytes));
        assert.equal(value.readUInt32BE(48), 5);
        assert.equal(value.readUInt32BE(52), i);
        assert.equal(value.readUInt32BE(56), section.length);
        assert.equal(value.readUInt32BE(60), 0);
      }
    });
  }

  it('are built while checking, when records are large enough', () => {
    const batch = fixture('mixed-none');
    const mean = Math.floor((batch.length - 61) / 5);
    const options = { ...limits, timestampType: 'LogAppendTime', nowMs: 1_900_000_000_000 } as const;
    const build = (referenceMinBytes: number): Uint8Array | null | undefined => {
      const [check] = checkBatches(batch, { ...options, referenceMinBytes });
      if (check?.reference) storeTimestamps(batch, check);
      return check?.reference;
    };
    assert.equal(build(mean + 1), null);
    const reference = build(mean);
    assert.ok(reference);
    locateReferenceBatch(reference, batch, location);
    assert.deepEqual(reference, buildReferenceBatch(batch, location));
    assert.throws(
      () => locateReferenceBatch(reference, fixture('keyed-none'), location),
      /not the reference/,
    );
    assert.throws(() => locateReferenceBatch(fixture('mixed-none'), batch, location), /not the reference/);
  });
});
