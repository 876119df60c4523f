import assert from 'node:assert/strict';
import { buildReferenceBatch, checkBatches } from '../../native/batch.ts';
import { BatchHeader } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { decodeSignedReference } from '../../protocol/records/signed-reference.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { ReferenceKeys } from './reference-keys.ts';
import { signBatches } from './signed-batches.ts';

const TTL_MS = 1000;
const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAABQ';
const WHO = 'User:ANONYMOUS';

function referenceBatch(values: (Buffer | null)[], baseOffset = 0n): Uint8Array {
  const records = values.map((value, i) => ({
    key: i % 2 === 0 ? Buffer.from(`key ${i}`) : null,
    value,
    timestamp: BigInt(1000 + i * 100_000),
    headers: [{ key: 'h', value: Buffer.alloc(i * 40) }],
  }));
  const batch = buildBatch(records, { timestamp: 1000n });
  const reference = buildReferenceBatch(batch, { storeId: 0, segmentId: 3, extentPosition: 4096 });
  new BatchHeader(reference).baseOffset = baseOffset;
  return reference;
}

describe('signed references', () => {
  it('are in batches that are valid as they are, and stand for the same values', () => {
    const keys = new ReferenceKeys(TTL_MS, new VirtualClock());
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 4 };
    const values = [Buffer.alloc(5000, 1), null, Buffer.alloc(64, 2), Buffer.alloc(0)];
    const batches = [referenceBatch(values, 10n), referenceBatch([Buffer.alloc(10)], 14n)];
    const signed = signBatches(Buffer.concat(batches), context);
    const checks = checkBatches(signed, { maxUncompressedBytes: 1 << 20, origin: 'broker' });
    assert.deepEqual(
      checks.map(({ error, recordCount }) => [error, recordCount]),
      [
        [0, 4],
        [0, 1],
      ],
    );
    const records = readRecords(signed.subarray(0, checks[0]!.sizeBytes));
    const originals = readRecords(batches[0]!);
    for (const [i, { key, headers, offset, timestamp, value }] of records.entries()) {
      const original = originals[i]!;
      assert.deepEqual(
        [key, headers, offset, timestamp],
        [original.key, original.headers, original.offset, original.timestamp],
      );
      if (values[i] === null) {
        assert.equal(value, null);
        continue;
      }
      const { reference, claim } = keys.verify(value!, WHO);
      assert.equal(reference.valueLength, values[i]!.byteLength);
      assert.deepEqual([claim.topicId, claim.partition, claim.baseOffset], [TOPIC_ID, 4, 10n]);
    }
  });

  it('of one batch have one claim, each with a value of its own', () => {
    const keys = new ReferenceKeys(TTL_MS, new VirtualClock());
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const sizes = [500, 700];
    const batch = signBatches(referenceBatch(sizes.map((size) => Buffer.alloc(size, 1))), context);
    const request = readRecords(batch).map(({ value }) => Buffer.from(value!));
    const [first, second] = request.map((value) => keys.verify(value, WHO));
    assert.equal(first!.claim, second!.claim);
    assert.deepEqual(
      [first, second].map((one) => one!.reference.valueLength),
      sizes,
    );
    // What is remembered does not lie in the memory of a request, which others get.
    const again = Buffer.from(request[0]!);
    for (const value of request) value.fill(0);
    assert.equal(keys.verify(again, WHO).claim, first!.claim);
  });

  it('of batches in turns are what they are, and those that were remembered are as hard to forge', () => {
    const keys = new ReferenceKeys(TTL_MS, new VirtualClock());
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const valuesOf = (sizes: number[], baseOffset: bigint) => {
      const batch = referenceBatch(
        sizes.map((size) => Buffer.alloc(size, 1)),
        baseOffset,
      );
      return readRecords(signBatches(batch, context)).map(({ value }) => Buffer.from(value!));
    };
    const batches = [valuesOf([500, 700], 5n), valuesOf([900, 300], 7n)] as const;
    for (const i of [0, 1, 0, 1]) {
      for (const values of batches) {
        const { reference, claim, signature } = keys.verify(values[i]!, WHO);
        assert.deepEqual({ reference, claim, signature }, decodeSignedReference(values[i]!));
      }
    }
    const [first, second] = batches.map(([value]) => value!);
    const mixed = Buffer.from(first!);
    second!.copy(mixed, 112, 112); // the other's signature
    assert.throws(() => keys.verify(mixed, WHO), { reason: 'forged' });
    assert.throws(() => keys.verify(second!, 'User:other'), { reason: 'forged' });
    assert.throws(() => keys.verify(first!.subarray(0, 100), WHO), { code: 56 });
  });

  it('are refused when they were changed, are another’s, or have expired; a change of keys refuses none', () => {
    const clock = new VirtualClock();
    const keys = new ReferenceKeys(TTL_MS, clock);
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const sign = () => readRecords(signBatches(referenceBatch([Buffer.alloc(100)]), context))[0]!.value!;
    const value = Buffer.from(sign());
    keys.verify(value, WHO);
    assert.throws(() => keys.verify(value, 'User:other'), { reason: 'forged' });
    // Segment, position, extent length, records, uncompressed length, topic, partition, header CRC, offset, expiry, signature.
    for (const at of [23, 31, 35, 50, 58, 64, 83, 87, 95, 103, 112, 143]) {
      const changed = Buffer.from(value);
      changed[at]! ^= 1;
      assert.throws(() => keys.verify(changed, WHO), Error, `byte ${at}`);
    }
    clock.tick(TTL_MS - 1);
    const late = Buffer.from(sign());
    clock.tick(2);
    const next = Buffer.from(sign());
    assert.notEqual(decodeSignedReference(next).claim.keyId, decodeSignedReference(late).claim.keyId);
    keys.verify(late, WHO);
    keys.verify(next, WHO);
    assert.throws(() => keys.verify(value, WHO), { reason: 'expired' });
    assert.throws(() => new ReferenceKeys(TTL_MS, clock).verify(next, WHO), { reason: 'expired' });
  });
});
