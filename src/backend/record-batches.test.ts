// The record batches of src/protocol and those of native code are the same: each reads what the other makes.
import assert from 'node:assert/strict';
import {
  buildReferenceBatch,
  checkBatches,
  crc32c as crc32cNative,
  storeTimestamps,
} from '../native/batch.ts';
import { Codec, compress, decompress } from '../native/codec.ts';
import { readFixture } from '../protocol/fixtures/read-fixture.ts';
import { Attribute, BATCH_HEADER_SIZE, BatchHeader } from '../protocol/records/batch-header.ts';
import { buildBatch, type RecordInput } from '../protocol/records/builder.ts';
import { crc32c } from '../protocol/records/crc32c.ts';
import { decodePayloadReference, restoreBatchHeader } from '../protocol/records/payload-reference.ts';
import { readRecords } from '../protocol/records/reader.ts';

const MAX_UNCOMPRESSED_BYTES = 1 << 20;

const inflate = (codec: number, bytes: Uint8Array) =>
  decompress(codec as Codec, bytes, MAX_UNCOMPRESSED_BYTES);

const records: RecordInput[] = [
  {
    key: Buffer.from('a'),
    value: Buffer.alloc(5000, 'value '),
    timestamp: 1_700_000_000_000n,
    headers: [{ key: 'h', value: null }],
  },
  { key: Buffer.from('b'), value: null, timestamp: 1_699_999_999_000n },
  { key: Buffer.from('c'), value: Buffer.alloc(0), timestamp: 1_700_000_000_001n },
];

function batchWith(codec: Codec): Uint8Array {
  return buildBatch(records, {
    attributes: codec,
    producerId: 9n,
    producerEpoch: 1,
    baseSequence: 5,
    ...(codec === Codec.NONE ? {} : { compress: (bytes: Uint8Array) => compress(codec, bytes) }),
  });
}

describe('record batches of protocol and native code', () => {
  it('of Apache Kafka hold the same records in every codec', () => {
    const { batches } = JSON.parse(readFixture('records.json.gz')) as {
      batches: { bytes: string; records: { key: string | null; value: string | null }[] }[];
    };
    for (const batch of batches) {
      const read = readRecords(Buffer.from(batch.bytes, 'base64'), inflate);
      const text = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes).toString('base64');
      assert.deepEqual(
        read.map(({ key, value }) => [text(key), text(value)]),
        batch.records.map(({ key, value }) => [key, value]),
      );
    }
  });

  it('have the same checksum', () => {
    const bytes = Buffer.alloc(1000, 'checksum');
    assert.equal(crc32c(bytes, 7), crc32cNative(bytes, 7));
  });

  for (const [name, codec] of Object.entries(Codec)) {
    it(`pass each other's checks (${name})`, () => {
      const batch = batchWith(codec);
      const [check] = checkBatches(batch, { maxUncompressedBytes: MAX_UNCOMPRESSED_BYTES });
      assert.equal(check?.errorMessage, null);
      assert.equal(check?.maxTimestamp, new BatchHeader(batch).maxTimestamp);
      const appendTime = { timestampType: 'LogAppendTime', nowMs: 1_800_000_000_000 } as const;
      const [stored] = checkBatches(batch, { maxUncompressedBytes: MAX_UNCOMPRESSED_BYTES, ...appendTime });
      storeTimestamps(batch, stored!);
      const header = new BatchHeader(batch);
      header.baseOffset = 1000n;
      assert.equal(header.crc, crc32c(batch.subarray(21)));
      assert.deepEqual(
        readRecords(batch, inflate).map(({ offset, timestamp }) => [offset, timestamp]),
        [1000n, 1001n, 1002n].map((offset) => [offset, 1_800_000_000_000n]),
      );
    });

    it(`become reference batches and come back byte for byte (${name})`, () => {
      const batch = batchWith(codec);
      new BatchHeader(batch).baseOffset = 1000n;
      const extent = batch.subarray(BATCH_HEADER_SIZE);
      const section = codec === Codec.NONE ? extent : inflate(codec, extent);
      const diverted = buildReferenceBatch(batch, { storeId: 1, segmentId: 1000n, extentPosition: 4096 });
      assert.equal(new BatchHeader(diverted).attributes & Attribute.reference, Attribute.reference);
      const references = readRecords(diverted);
      assert.deepEqual(
        references.map(({ key, headers }) => ({ key, headers })),
        records.map(({ key, headers = [] }) => ({ key, headers })),
      );
      for (const [index, { value }] of references.entries()) {
        const original = records[index]!.value;
        if (original === null) {
          assert.equal(value, null);
          continue;
        }
        const reference = decodePayloadReference(value!);
        const { valueOffset, valueLength } = reference;
        assert.deepEqual(
          Buffer.from(section.subarray(valueOffset, valueOffset + valueLength)),
          Buffer.from(original),
        );
        assert.equal(reference.valueCrc, crc32c(original));
        assert.equal(reference.extentLength, extent.byteLength);
        const restored = restoreBatchHeader(diverted, reference);
        assert.deepEqual(Buffer.concat([restored, extent]), Buffer.from(batch));
      }
    });
  }
});
