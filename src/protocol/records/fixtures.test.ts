// Compares record batches and framed records with those that Apache Kafka's own classes wrote (scripts/generate/java).
import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { readFixture } from '../fixtures/read-fixture.ts';
import { offsetCommitKey } from '../generated/offset-commit-key.ts';
import { offsetCommitValue } from '../generated/offset-commit-value.ts';
import { topicRecord } from '../generated/topic-record.ts';
import {
  decodeCoordinatorKey,
  decodeMetadataRecord,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeMetadataRecord,
  encodeVersioned,
} from '../internal-records.ts';
import { Attribute, BATCH_HEADER_SIZE, Compression, splitBatches } from './batch-header.ts';
import { buildBatch, type RecordInput } from './builder.ts';
import { buildEndTransactionBatch } from './control-records.ts';
import { crc32c } from './crc32c.ts';
import { readRecords } from './reader.ts';

interface BatchFixture {
  codec: keyof typeof Compression;
  codecId: number;
  appendTime: string;
  producerId: string;
  producerEpoch: number;
  baseSequence: number;
  transactional: boolean;
  baseOffset: string;
  leaderEpoch: number;
  bytes: string;
  records: {
    timestamp: string;
    key: string | null;
    value: string | null;
    headers: { key: string; value: string | null }[];
  }[];
}

const fixtures = JSON.parse(readFixture('records.json.gz')) as {
  batches: BatchFixture[];
  markers: { type: 'COMMIT' | 'ABORT'; bytes: string }[];
  metadataRecord: string;
  coordinatorKey: string;
  coordinatorValue: string;
};

const fromBase64 = (text: string) => Buffer.from(text, 'base64');
const fromNullable = (text: string | null) => (text === null ? null : fromBase64(text));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function recordsOf(fixture: BatchFixture): RecordInput[] {
  return fixture.records.map(({ timestamp, key, value, headers }) => ({
    timestamp: BigInt(timestamp),
    key: fromNullable(key),
    value: fromNullable(value),
    headers: headers.map((header) => ({ key: header.key, value: fromNullable(header.value) })),
  }));
}

describe('record batches of Apache Kafka', () => {
  for (const fixture of fixtures.batches) {
    const { codec, records, transactional } = fixture;
    const appendTime = BigInt(fixture.appendTime);
    const title = `${codec}, ${records.length} records${appendTime < 0n ? '' : ', append time'}`;
    const bytes = fromBase64(fixture.bytes);

    it(`have the headers that they were built with (${title})`, () => {
      const [batch, ...others] = splitBatches(bytes);
      const { header } = batch!;
      assert.equal(others.length, 0);
      assert.equal(header.sizeInBytes, bytes.byteLength);
      assert.equal(header.crc, crc32c(bytes.subarray(21)));
      assert.equal(header.compression, Compression[codec]);
      assert.equal(header.baseOffset, BigInt(fixture.baseOffset));
      assert.equal(header.lastOffsetDelta, records.length - 1);
      assert.equal(header.recordCount, records.length);
      assert.equal(header.partitionLeaderEpoch, fixture.leaderEpoch);
      assert.equal(header.producerId, BigInt(fixture.producerId));
      assert.equal(header.producerEpoch, fixture.producerEpoch);
      assert.equal(header.baseSequence, fixture.baseSequence);
      assert.equal(header.isTransactional, transactional);
      assert.equal(header.isControl, false);
      assert.equal(header.isLogAppendTime, appendTime >= 0n);
      assert.equal(header.baseTimestamp, BigInt(records[0]!.timestamp));
    });

    if (codec !== 'none' && codec !== 'gzip') continue;

    it(`hold the records that were appended (${title})`, () => {
      const read = readRecords(bytes, (_codec, section) => gunzipSync(section));
      const expected = recordsOf(fixture).map((record, index) => ({
        offset: BigInt(fixture.baseOffset) + BigInt(index),
        timestamp: appendTime < 0n ? record.timestamp : appendTime,
        key: record.key,
        value: record.value,
        headers: record.headers,
      }));
      assert.deepEqual(read, expected);
    });

    // Kafka sets the append time in the header afterwards, and another gzip makes other bytes.
    if (codec !== 'none' || appendTime >= 0n) continue;

    it(`are built byte for byte (${title})`, () => {
      const built = buildBatch(recordsOf(fixture), {
        baseOffset: BigInt(fixture.baseOffset),
        partitionLeaderEpoch: fixture.leaderEpoch,
        attributes: transactional ? Attribute.transactional : 0,
        producerId: BigInt(fixture.producerId),
        producerEpoch: fixture.producerEpoch,
        baseSequence: fixture.baseSequence,
      });
      assert.equal(hex(built), hex(bytes));
    });
  }

  it('include end-of-transaction markers', () => {
    for (const { type, bytes } of fixtures.markers) {
      const built = buildEndTransactionBatch(type === 'COMMIT' ? 'commit' : 'abort', 17, {
        baseOffset: 55n,
        timestamp: 1_700_000_000_000n,
        partitionLeaderEpoch: 8,
        producerId: 4711n,
        producerEpoch: 3,
      });
      assert.equal(hex(built), hex(fromBase64(bytes)));
      assert.ok(built.byteLength > BATCH_HEADER_SIZE);
    }
  });
});

describe('internal records of Apache Kafka', () => {
  it('are framed alike in __cluster_metadata', () => {
    const bytes = fromBase64(fixtures.metadataRecord);
    const { codec, record, version } = decodeMetadataRecord(bytes);
    assert.equal(codec, topicRecord);
    assert.deepEqual(record, { name: 'topic', topicId: 'AAAAAAAAAAEAAAAAAAAAAg' });
    assert.equal(hex(encodeMetadataRecord(codec, record, version)), hex(bytes));
  });

  it('are framed alike in __consumer_offsets', () => {
    const keyBytes = fromBase64(fixtures.coordinatorKey);
    const key = decodeCoordinatorKey(offsetCommitKey, keyBytes);
    assert.deepEqual(key, { group: 'group', topic: 'topic', partition: 5 });
    assert.equal(hex(encodeCoordinatorKey(offsetCommitKey, key)), hex(keyBytes));
    const valueBytes = fromBase64(fixtures.coordinatorValue);
    const { value, version } = decodeVersioned(offsetCommitValue, valueBytes);
    assert.equal(version, 3);
    assert.deepEqual([value.offset, value.leaderEpoch, value.metadata], [9n, 2, 'm']);
    assert.equal(hex(encodeVersioned(offsetCommitValue, value, version)), hex(valueBytes));
  });
});
