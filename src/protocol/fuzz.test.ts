// Throws random and damaged bytes at every decoder. FUZZ_SEED and FUZZ_RUNS (per message and version) make longer or other runs.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError } from './errors.ts';
import { readFixture } from './fixtures/read-fixture.ts';
import { allCodecs } from './generated/index.ts';
import { decodeMetadataRecord, decodeVersioned } from './internal-records.ts';
import { splitBatches } from './records/batch-header.ts';
import { decodePayloadReference } from './records/payload-reference.ts';
import { readRecords } from './records/reader.ts';
import type { AnyCodec } from './wire/codec.ts';
import { ProtocolError } from './wire/errors.ts';
import { Reader } from './wire/reader.ts';
import { Writer } from './wire/writer.ts';

const seed = Number(process.env.FUZZ_SEED ?? 1);
const numRuns = Number(process.env.FUZZ_RUNS ?? 60);

/** Values that one byte of input may at most turn into, with a few for the message itself. */
const VALUES_PER_BYTE = 16;

const damage = fc.array(
  fc.record({
    kind: fc.constantFrom('set', 'insert', 'remove', 'cut'),
    /** Where, as a fraction of the length. */
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    byte: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
  }),
  { minLength: 1, maxLength: 4 },
);

type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

/** Hostile without a model: random bytes, and runs of the bytes that lengths are made of. */
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .tuple(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff), fc.nat(300))
    .map(([byte, length]) => new Uint8Array(length).fill(byte)),
);

function damaged(bytes: Uint8Array, damages: Damage): Uint8Array {
  const list = [...bytes];
  for (const { kind, at, byte } of damages) {
    const index = Math.floor(at * list.length);
    if (kind === 'set') list.splice(index, 1, byte);
    else if (kind === 'insert') list.splice(index, 0, byte);
    else if (kind === 'remove') list.splice(index, 1);
    else list.splice(index);
  }
  return Uint8Array.from(list);
}

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return 1;
  let count = 1;
  for (const member of Object.values(value)) count += countValues(member);
  return count;
}

/** What `decode` makes of the bytes, null if it refuses them in the way that it documents. */
function attempt<T>(decode: () => T, errorClass: new (...args: never[]) => Error): T | null {
  try {
    return decode();
  } catch (error) {
    if (error instanceof errorClass) return null;
    throw error;
  }
}

function write(codec: AnyCodec, message: unknown, version: number): Uint8Array {
  const writer = new Writer();
  codec.write(writer, message, version);
  return writer.finishBytes();
}

/** Whatever can be read is small and can be written, and then stays as it is. */
function checkDecoder(codec: AnyCodec, version: number, bytes: Uint8Array): void {
  const message = attempt(() => codec.read(new Reader(bytes), version), ProtocolError);
  if (message === null) return;
  const values = countValues(message);
  const limit = VALUES_PER_BYTE * bytes.byteLength + countValues(codec.create());
  assert.ok(values <= limit, `${values} values from ${bytes.byteLength} bytes`);
  const written = write(codec, message, version);
  const again = codec.read(new Reader(written), version);
  assert.deepEqual(Buffer.from(write(codec, again, version)), Buffer.from(written));
}

describe('decoders, given bad bytes', () => {
  const samples = new Map<string, Uint8Array[]>();
  for (const line of readFixture('messages.jsonl.gz').trim().split('\n')) {
    const [name, version, base64] = JSON.parse(line) as [string, number, string];
    const key = `${name} ${version}`;
    samples.set(key, [...(samples.get(key) ?? []), Buffer.from(base64, 'base64')]);
  }

  /** Asserts the property of every message and version, each with a seed of its own. */
  function assertAll(property: (codec: AnyCodec, version: number) => fc.IProperty<unknown>): void {
    let ownSeed = seed;
    for (const codec of allCodecs) {
      for (let version = codec.minVersion; version <= codec.maxVersion; version++) {
        fc.assert(property(codec, version), { seed: ownSeed++, numRuns });
      }
    }
  }

  it('refuse random bytes with a ProtocolError, or read something small', () => {
    assertAll((codec, version) => fc.property(anyBytes, (bytes) => checkDecoder(codec, version, bytes)));
  });

  it('refuse damaged messages with a ProtocolError, or read something that can be written', () => {
    assertAll((codec, version) => {
      // Kafka has no samples of Kafabric's own messages.
      const known = samples.get(`${codec.name} ${version}`) ?? [write(codec, codec.create(), version)];
      const sample = fc.constantFrom(...known);
      return fc.property(sample, damage, (bytes, damages) =>
        checkDecoder(codec, version, damaged(bytes, damages)),
      );
    });
  });

  it('refuse damaged record batches with an ApiError', () => {
    const { batches } = JSON.parse(readFixture('records.json.gz')) as { batches: { bytes: string }[] };
    const batch = fc.constantFrom(...batches.map(({ bytes }) => Buffer.from(bytes, 'base64')));
    const property = fc.property(batch, damage, (bytes, damages) => {
      const bad = damaged(bytes, damages);
      attempt(() => splitBatches(bad), ApiError);
      attempt(() => readRecords(bad, (_codec, section) => section), ApiError);
    });
    fc.assert(property, { seed, numRuns: numRuns * 30 });
  });

  it('refuse other records of internal topics and payload references with their errors', () => {
    const property = fc.property(anyBytes, (bytes) => {
      attempt(() => decodeMetadataRecord(bytes), ProtocolError);
      attempt(() => decodePayloadReference(bytes), ApiError);
      for (const codec of allCodecs) {
        if (codec.kind === 'coordinator-value') attempt(() => decodeVersioned(codec, bytes), ProtocolError);
      }
    });
    fc.assert(property, { seed, numRuns: numRuns * 10 });
  });
});
