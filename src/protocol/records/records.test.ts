import assert from 'node:assert/strict';
import { gunzipSync, gzipSync } from 'node:zlib';
import { ErrorCode } from '../errors.ts';
import { Attribute, BATCH_HEADER_SIZE, BatchHeader, Compression, splitBatches } from './batch-header.ts';
import { buildBatch, type RecordInput } from './builder.ts';
import { buildEndTransactionBatch, ControlType, controlType } from './control-records.ts';
import { crc32c } from './crc32c.ts';
import { readRecords } from './reader.ts';

const text = (value: string) => Buffer.from(value);

const records: RecordInput[] = [
  {
    key: text('k'),
    value: text('v'),
    timestamp: 1_700_000_000_000n,
    headers: [{ key: 'h', value: text('x') }],
  },
  { key: null, value: null, timestamp: 1_600_000_000_000n, headers: [{ key: '', value: null }] },
  { key: text(''), value: Buffer.alloc(300, 7), timestamp: 1_700_000_000_005n },
];

function hasCode(code: number) {
  return (error: unknown) => (error as { code: number }).code === code;
}

describe('records', () => {
  it('computes CRC-32C', () => {
    assert.equal(crc32c(text('123456789')), 0xe3069283);
    assert.equal(crc32c(text('6789'), crc32c(text('12345'))), 0xe3069283);
  });

  it('builds a batch that reads back', () => {
    const batch = buildBatch(records, {
      baseOffset: 42n,
      producerId: 7n,
      producerEpoch: 3,
      baseSequence: 11,
    });
    const [view] = splitBatches(batch);
    assert.equal(view!.header.sizeInBytes, batch.byteLength);
    assert.equal(view!.header.lastOffset, 44n);
    assert.equal(view!.header.maxTimestamp, 1_700_000_000_005n);
    assert.equal(view!.header.crc, crc32c(batch.subarray(21)));
    const read = readRecords(batch);
    assert.deepEqual(
      read.map(({ offset, timestamp }) => [offset, timestamp]),
      [
        [42n, 1_700_000_000_000n],
        [43n, 1_600_000_000_000n],
        [44n, 1_700_000_000_005n],
      ],
    );
    assert.deepEqual(
      read.map(({ key, value, headers }) => ({ key, value, headers })),
      records.map(({ key, value, headers = [] }) => ({ key, value, headers })),
    );
  });

  it('reads compressed batches with the decompressor given', () => {
    const options = { attributes: Compression.gzip, compress: (bytes: Uint8Array) => gzipSync(bytes) };
    const batch = buildBatch(records, options);
    assert.throws(() => readRecords(batch), hasCode(ErrorCode.INVALID_RECORD));
    const read = readRecords(batch, (codec, bytes) => {
      assert.equal(codec, Compression.gzip);
      return gunzipSync(bytes);
    });
    assert.equal(read.length, 3);
  });

  it('gives every record the append time of a batch that has one', () => {
    const batch = buildBatch(records, { attributes: Attribute.logAppendTime });
    new BatchHeader(batch).maxTimestamp = 99n;
    assert.deepEqual(
      readRecords(batch).map(({ timestamp }) => timestamp),
      [99n, 99n, 99n],
    );
  });

  it('builds control batches', () => {
    const batch = buildEndTransactionBatch('commit', 5, { producerId: 1n, producerEpoch: 0, timestamp: 10n });
    const header = new BatchHeader(batch);
    assert.ok(header.isControl && header.isTransactional);
    const [record] = readRecords(batch);
    assert.equal(controlType(record!.key!), ControlType.commit);
    assert.deepEqual(Buffer.from(record!.value!), Buffer.from([0, 0, 0, 0, 0, 5]));
  });

  it('refuses message sets of magic 0 and 1, and batches that do not fit', () => {
    const batch = buildBatch(records);
    for (const magic of [0, 1]) {
      const old = Buffer.from(batch);
      old[16] = magic;
      assert.throws(() => splitBatches(old), hasCode(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT));
      assert.throws(
        () => splitBatches(old.subarray(0, 26)),
        hasCode(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT),
      );
    }
    for (const end of [1, 16, BATCH_HEADER_SIZE, batch.byteLength - 1]) {
      assert.throws(() => splitBatches(batch.subarray(0, end)), hasCode(ErrorCode.CORRUPT_MESSAGE));
    }
    assert.equal(splitBatches(Buffer.concat([batch, batch])).length, 2);
  });

  it('refuses records that do not fill their batch', () => {
    for (const count of [-1, 2, 4, 0x7fffffff]) {
      const batch = buildBatch(records);
      new BatchHeader(batch).recordCount = count;
      assert.throws(() => readRecords(batch), hasCode(ErrorCode.INVALID_RECORD), `${count} records`);
    }
  });
});
