import assert from 'node:assert/strict';
import type { MemoryPiece } from '../../native/pieces.ts';
import { Attribute, BatchHeader } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { encodePayloadReference } from '../../protocol/records/payload-reference.ts';
import { CLAIM_SIZE } from '../../protocol/records/signed-reference.ts';
import { extentsOf } from './fetched-extents.ts';

const LENGTH = 1000;

/** A batch of one signed reference to the extent at `position`. */
function referenceBatch(position: number, originalAttributes = 0): Uint8Array {
  const reference = encodePayloadReference({
    ...{ flags: 0, originalAttributes, originalCrc: 0, storeId: 0, segmentId: 7n },
    ...{ extentPosition: position, extentLength: LENGTH, uncompressedLength: LENGTH },
    ...{ valueOffset: 10, valueLength: 900, valueCrc: 0, originalRecordCount: 1, recordIndex: 0 },
  });
  const value = Buffer.concat([reference, Buffer.alloc(CLAIM_SIZE)]);
  const batch = buildBatch([{ key: null, value }]);
  new BatchHeader(batch).attributes |= Attribute.reference;
  return batch;
}

describe('extents of what is fetched', () => {
  const plain = buildBatch([{ key: null, value: Buffer.from('small') }]);
  /** Those that are in memory, by position. */
  const inMemory = new Set([0, 1, 2]);
  const payloads = {
    find: (segmentId: number, position: number, byteLength: number) =>
      segmentId === 7 && inMemory.has(position) ? ({ position, byteLength } as unknown as MemoryPiece) : null,
  };
  const found = (records: Uint8Array[], maxBytes = 10 * LENGTH) =>
    extentsOf(payloads, records, maxBytes).map((one) => (one as unknown as { position: number }).position);
  const joined = (...batches: Uint8Array[]) => [Buffer.concat(batches)];

  it('are in the order of their batches, whatever lies between them', () => {
    assert.deepEqual(found(joined(referenceBatch(1), plain, referenceBatch(0))), [1, 0]);
    assert.deepEqual(found([referenceBatch(2), plain, referenceBatch(1)]), [2, 1]);
    assert.deepEqual(found(joined(plain)), []);
  });

  it('are no more than was asked for', () => {
    const records = joined(referenceBatch(0), referenceBatch(1), referenceBatch(2));
    assert.deepEqual(found(records, 2 * LENGTH), [0, 1]);
    assert.deepEqual(found(records, LENGTH - 1), []);
  });

  it('end before one that has to be asked for: it is not in memory, compressed, or damaged', () => {
    assert.deepEqual(found(joined(referenceBatch(0), referenceBatch(9), referenceBatch(1))), [0]);
    assert.deepEqual(found(joined(referenceBatch(0), referenceBatch(1, 1), referenceBatch(2))), [0]);
    const damaged = referenceBatch(1);
    // The record index is no less than the number of records.
    damaged.fill(0xff, damaged.byteLength - CLAIM_SIZE - 16, damaged.byteLength - CLAIM_SIZE - 8);
    assert.deepEqual(found(joined(referenceBatch(0), damaged, referenceBatch(2))), [0]);
  });
});
