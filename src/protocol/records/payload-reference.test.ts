import assert from 'node:assert/strict';
import { Attribute, BATCH_HEADER_SIZE, BatchHeader, Compression } from './batch-header.ts';
import { buildBatch } from './builder.ts';
import { crc32c } from './crc32c.ts';
import {
  decodePayloadReference,
  encodePayloadReference,
  PAYLOAD_REFERENCE_SIZE,
  type PayloadReference,
  referencedValue,
  restoreBatchHeader,
} from './payload-reference.ts';

const reference: PayloadReference = {
  flags: 0,
  originalAttributes: Compression.zstd | Attribute.transactional,
  originalCrc: 0xfedcba98,
  storeId: 3,
  segmentId: 2n ** 63n + 5n,
  extentPosition: 2 ** 40 + 1,
  extentLength: 1000,
  valueOffset: 20,
  valueLength: 4000,
  valueCrc: 0x80000001,
  originalRecordCount: 2,
  recordIndex: 1,
  uncompressedLength: 4020,
};

describe('payload reference', () => {
  it('reads back', () => {
    const bytes = encodePayloadReference(reference);
    assert.equal(bytes.byteLength, PAYLOAD_REFERENCE_SIZE);
    assert.deepEqual(decodePayloadReference(bytes), reference);
    const signed = Buffer.concat([bytes, Buffer.alloc(80)]);
    assert.deepEqual(referencedValue(signed), { offset: 20, length: 4000, crc: 0x80000001 });
    assert.throws(() => referencedValue(signed.subarray(1)), /wrong mark/);
    assert.throws(() => referencedValue(bytes.subarray(1)), /63 bytes/);
  });

  it('is refused when damaged', () => {
    const damages: [number, number][] = [
      [0, 0],
      [4, 2],
      [24, 0xff],
      [40, 0xff],
      [51, 1],
    ];
    for (const [position, byte] of damages) {
      const bytes = encodePayloadReference(reference);
      bytes[position] = byte;
      assert.throws(() => decodePayloadReference(bytes), /Damaged payload reference/);
    }
    assert.throws(() => decodePayloadReference(encodePayloadReference(reference).subarray(1)));
  });

  it('restores the header of the batch that was produced', () => {
    const value = Buffer.alloc(5000, 1);
    const original = buildBatch([{ key: Buffer.from('k'), value, timestamp: 5n }], {
      producerId: 9n,
      baseSequence: 4,
    });
    const header = new BatchHeader(original);
    const diverted = buildBatch(
      [{ key: Buffer.from('k'), value: encodePayloadReference(reference), timestamp: 5n }],
      {
        attributes: Attribute.reference,
        producerId: 9n,
        baseSequence: 4,
        baseOffset: 77n,
      },
    );
    const restored = restoreBatchHeader(diverted, {
      ...reference,
      originalAttributes: header.attributes,
      originalCrc: header.crc,
      extentLength: original.byteLength - BATCH_HEADER_SIZE,
      originalRecordCount: 1,
      recordIndex: 0,
    });
    header.baseOffset = 77n;
    assert.deepEqual(Buffer.from(restored), Buffer.from(original.subarray(0, BATCH_HEADER_SIZE)));
    assert.equal(crc32c(original.subarray(BATCH_HEADER_SIZE), crc32c(restored.subarray(21))), header.crc);
  });
});
