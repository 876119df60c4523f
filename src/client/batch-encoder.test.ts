import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkBatches } from '../native/batch.ts';
import { Codec } from '../native/codec.ts';
import { BatchHeader } from '../protocol/records/batch-header.ts';
import { readRecords } from '../protocol/records/reader.ts';
import { complete, type EventRecord, encodeBatch, METADATA_HEADER, SEPARATE_BYTES } from './batch-encoder.ts';

describe('batches of events', () => {
  const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
  const part = fc.oneof(
    bytes(100),
    fc
      .integer({ min: SEPARATE_BYTES - 1, max: SEPARATE_BYTES + 5000 })
      .map((size) => new Uint8Array(size).fill(size)),
  );
  const event = fc
    .record({
      key: fc.option(bytes(200)),
      data: fc.option(fc.array(part, { maxLength: 3 })),
      metadata: fc.option(
        fc.oneof(bytes(150), fc.string({ maxLength: 60 }), fc.string({ unit: 'grapheme' })),
      ),
      headers: fc.array(
        fc.record({
          key: fc.oneof(fc.constant(METADATA_HEADER), fc.string({ maxLength: 40, unit: 'grapheme' })),
          value: fc.option(bytes(150)),
        }),
        { maxLength: 3 },
      ),
      timestamp: fc.integer({ min: 0, max: 2 ** 45 }),
    })
    .map(
      (one): EventRecord => ({
        ...one,
        dataBytes: (one.data ?? []).reduce((sum, { byteLength }) => sum + byteLength, 0),
      }),
    );

  it('are valid, say what was given, and leave large data where it is', () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 8 }), (events) => {
        const producer = { producerId: 7n, producerEpoch: 1, baseSequence: 9, isTransactional: false };
        const encoded = encodeBatch(events);
        // Who sends it may be another than who was to.
        complete(encoded, { ...producer, producerId: 8n, isTransactional: true });
        complete(encoded, producer);
        const { pieces, eventOf, bytes: size, dataBytes } = encoded;
        const large = events
          .flatMap(({ data }) => data ?? [])
          .filter((one) => one.byteLength >= SEPARATE_BYTES);
        const separate = pieces.filter((_, i) => eventOf[i]! >= 0);
        for (const [i, of] of eventOf.entries())
          if (of >= 0) assert.ok(events[of]!.data!.includes(pieces[i]!));
        assert.equal(separate.length, large.length);
        for (const [i, one] of separate.entries()) assert.equal(one, large[i]);
        const batch = Buffer.concat(pieces);
        assert.equal(batch.byteLength, size);
        const [check] = checkBatches(batch, { maxUncompressedBytes: 2 ** 30 });
        assert.equal(check!.errorMessage, null);
        assert.equal(check!.producerId, 7n);
        assert.equal(new BatchHeader(batch).isTransactional, false);
        assert.equal(
          dataBytes,
          separate.reduce((sum, { byteLength }) => sum + byteLength, 0),
        );
        assert.deepEqual(
          readRecords(batch).map(({ key, value, headers, timestamp }) => ({
            key: key && Buffer.from(key),
            value: value && Buffer.from(value),
            headers: headers.map((one) => ({ key: one.key, value: one.value && Buffer.from(one.value) })),
            timestamp: Number(timestamp),
          })),
          events.map(({ key, data, metadata, headers, timestamp }) => ({
            key: key && Buffer.from(key),
            value: data && Buffer.concat(data),
            headers: [
              ...(metadata === null
                ? []
                : [{ key: METADATA_HEADER, value: Buffer.from(metadata as string) }]),
              ...headers,
            ].map((one) => ({ key: one.key, value: one.value && Buffer.from(one.value) })),
            timestamp,
          })),
        );
      }),
      { numRuns: 100 },
    );
  });

  it('are compressed where nothing in them could be asked for in part', () => {
    const eventWith = (size: number): EventRecord => {
      const metadata = Buffer.from(JSON.stringify({ step: 1, text: 'again '.repeat(100) }));
      return {
        key: null,
        data: [new Uint8Array(size)],
        dataBytes: size,
        metadata,
        headers: [],
        timestamp: 1,
      };
    };
    for (const [name, codec] of Object.entries(Codec)) {
      const events = [eventWith(10), eventWith(SEPARATE_BYTES - 1)];
      const encoded = encodeBatch(events, codec);
      complete(encoded, null);
      const { pieces, bytes, eventOf } = encoded;
      const batch = Buffer.concat(pieces);
      assert.equal(batch.byteLength, bytes);
      assert.equal(pieces.length, eventOf.length);
      const [check] = checkBatches(batch, { maxUncompressedBytes: 2 ** 30 });
      assert.equal(check!.errorMessage, null, name);
      assert.equal(new BatchHeader(batch).compression, codec);
      const { bytes: plain } = encodeBatch(events);
      assert.equal(codec === Codec.NONE, bytes === plain);
      const large = encodeBatch([eventWith(10), eventWith(SEPARATE_BYTES)], codec);
      assert.equal(new BatchHeader(large.pieces[0]!).compression, Codec.NONE);
    }
  });
});
