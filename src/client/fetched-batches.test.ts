import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Codec, compress } from '../native/codec.ts';
import { BATCH_HEADER_SIZE, BatchHeader, HeaderField } from '../protocol/records/batch-header.ts';
import { buildBatch, type RecordInput } from '../protocol/records/builder.ts';
import { crc32c } from '../protocol/records/crc32c.ts';
import { readRecords } from '../protocol/records/reader.ts';
import { METADATA_HEADER } from './batch-encoder.ts';
import { readFetched } from './fetched-batches.ts';
import { type FetchedRecord, SectionReader } from './fetched-record.ts';

const BASE = 100n;
const bytes = fc.option(fc.uint8Array({ maxLength: 200 }));
const name = fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom(METADATA_HEADER, `${METADATA_HEADER}2`));
const records = fc.array(
  fc.record({
    key: bytes,
    value: bytes,
    headers: fc.array(fc.record({ key: name, value: bytes }), { maxLength: 4 }),
    timestamp: fc.bigInt({ min: -(2n ** 40n), max: 2n ** 50n }),
  }),
  { minLength: 1, maxLength: 20 },
);

/** What a batch has to be read as, by the reader of the gateway. */
function expected(batch: Uint8Array, offset: bigint) {
  return readRecords(batch)
    .filter((record) => record.offset >= offset)
    .map(({ timestamp, headers, ...record }) => ({
      ...record,
      timestamp: Number(timestamp),
      headers: headers.filter(({ key }) => key !== METADATA_HEADER),
      metadata: headers.find(({ key }) => key === METADATA_HEADER)?.value ?? null,
    }));
}

function recordsOf(batch: Uint8Array, offset: bigint): FetchedRecord[] {
  const records: FetchedRecord[] = [];
  for (const section of readFetched(batch, offset, []).sections) {
    const reader = new SectionReader(section, offset);
    for (let record = reader.next(); record !== null; record = reader.next()) records.push(record);
    assert.equal(reader.next(), null);
  }
  return records;
}

function found(batch: Uint8Array, offset: bigint) {
  return recordsOf(batch, offset).map(({ offset: at, timestamp, key, value, headers, metadata }) => ({
    ...{ offset: at, timestamp, key, value },
    ...{ headers, metadata },
  }));
}

describe('batches that were fetched', () => {
  it('are read as they are by others, from the offset on that was asked for', () => {
    fc.assert(
      fc.property(records, fc.nat(20), (inputs: RecordInput[], skipped) => {
        const batch = Buffer.from(buildBatch(inputs, { baseOffset: BASE }));
        const offset = BASE + BigInt(skipped);
        assert.deepEqual(found(batch, offset), expected(batch, offset));
        const { nextOffset } = readFetched(batch, BASE, []);
        assert.equal(nextOffset, BASE + BigInt(inputs.length));
      }),
    );
  });

  it('give parts of values', () => {
    const value = Buffer.from('0123456789');
    const batch = buildBatch([{ key: null, value }], { baseOffset: BASE });
    const [record] = recordsOf(batch, BASE);
    const target = new Uint8Array(5);
    const ranges = [
      { offset: 3, length: 1, count: 2, stride: 4 },
      { offset: 0, length: 3, count: 1, stride: 3 },
    ];
    record!.copySelected(ranges, target);
    assert.deepEqual(Buffer.from(target), Buffer.from('37012'));
    assert.equal(record!.referenced, null);
  });

  it('are expanded when they are read, and not before', () => {
    const inputs = [{ key: null, value: Buffer.alloc(100_000) }];
    const options = { baseOffset: BASE, attributes: Codec.ZSTD };
    const batch = buildBatch(inputs, { ...options, compress: (bytes) => compress(Codec.ZSTD, bytes) });
    const { sections } = readFetched(batch, BASE, []);
    assert.ok(sections[0]!.storedBytes < 1000);
    const plain = Buffer.from(buildBatch(inputs, { baseOffset: BASE }));
    assert.deepEqual(found(batch, BASE), expected(plain, BASE));
    const torn = buildBatch(inputs, { ...options, compress: () => Buffer.from('no frame') });
    const [section] = readFetched(torn, BASE, []).sections;
    assert.equal(section!.storedBytes, 8);
    assert.throws(() => new SectionReader(section!, BASE));
  });

  it('are refused when they have been damaged on their way', () => {
    const value = Buffer.from('some data');
    const batch = buildBatch([{ key: null, value }], { baseOffset: BASE });
    batch[batch.byteLength - 4]! ^= 1;
    assert.throws(() => readFetched(batch, BASE, []), { code: 'CHECKSUM', retriable: true });
  });

  it('are given up to one that has been damaged, which is asked for next', () => {
    const batches = [0n, 1n, 2n].map((more) =>
      Buffer.from(
        buildBatch([{ key: null, value: Buffer.from(`value ${more}`) }], { baseOffset: BASE + more }),
      ),
    );
    batches[1]![batches[1]!.byteLength - 4]! ^= 1;
    const { sections, nextOffset } = readFetched(Buffer.concat(batches), BASE, []);
    assert.deepEqual(
      sections.map(({ baseOffset }) => baseOffset),
      [BASE],
    );
    assert.equal(nextOffset, BASE + 1n);
    assert.throws(() => readFetched(Buffer.concat(batches), nextOffset, []), { code: 'CHECKSUM' });
  });

  it('are refused when they are not made of records', () => {
    fc.assert(
      fc.property(records, fc.nat(), fc.nat(255), (inputs: RecordInput[], where, byte) => {
        const batch = Buffer.from(buildBatch(inputs, { baseOffset: BASE }));
        batch[BATCH_HEADER_SIZE + (where % (batch.byteLength - BATCH_HEADER_SIZE))] = byte;
        new BatchHeader(batch).crc = crc32c(batch.subarray(HeaderField.attributes));
        const read = (what: () => { timestamp: number }[]) => {
          try {
            // What a damaged delta of 2^52 or more gives, the two round differently; timestamps of batches are up to 2^50.
            return what().map((one) =>
              Math.abs(one.timestamp) < 2 ** 51 ? one : { ...one, timestamp: null },
            );
          } catch (error) {
            return (error as { code: unknown }).code;
          }
        };
        // Whatever the byte has made of it: both readers find the same, or nothing.
        assert.deepEqual(
          read(() => found(batch, BASE)),
          read(() => expected(batch, BASE)),
        );
      }),
    );
  });
});
