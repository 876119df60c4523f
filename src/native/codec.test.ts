import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Codec, compress, compressAsync, decompress, decompressAsync } from './codec.ts';

/** Made by Apache Kafka's client library; see fixtures/MakeBatches.java. */
const fixtures = JSON.parse(
  readFileSync(new URL('../../../src/native/fixtures/batches.json', import.meta.url), 'utf8'),
) as Record<string, string>;
const recordsOf = (name: string): Buffer => Buffer.from(fixtures[name]!, 'hex').subarray(61);
const codecs = Object.entries(Codec) as [string, Codec][];

describe('codecs', () => {
  for (const [name, codec] of codecs) {
    it(`read what Kafka's client wrote with ${name}`, () => {
      for (const content of ['mixed', 'keyed']) {
        const packed = recordsOf(`${content}-${name.toLowerCase()}`);
        const expected = recordsOf(`${content}-none`);
        assert.deepEqual(Buffer.from(decompress(codec, packed, expected.length)), expected);
      }
    });

    it(`give back any bytes (${name})`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.nat(50), async (bytes, copies) => {
          const input = Buffer.concat(new Array<Uint8Array>(copies).fill(bytes));
          const packed = compress(codec, input);
          assert.deepEqual(Buffer.from(await compressAsync(codec, input)), Buffer.from(packed));
          assert.deepEqual(Buffer.from(decompress(codec, packed, input.length)), input);
          assert.deepEqual(Buffer.from(await decompressAsync(codec, packed, input.length)), input);
        }),
        { numRuns: 30 },
      );
    });

    it(`respect the limit (${name})`, async () => {
      const packed = compress(codec, Buffer.alloc(100_000));
      assert.throws(() => decompress(codec, packed, 99_999), /above the limit of 99999 bytes/);
      await assert.rejects(decompressAsync(codec, packed, 99_999), /above the limit of 99999 bytes/);
      assert.throws(() => decompress(codec, packed, -1), RangeError);
    });
  }

  it('exchange gzip with another implementation', () => {
    const input = Buffer.from('all work and no play '.repeat(1000));
    assert.deepEqual(gunzipSync(compress(Codec.GZIP, input)), input);
    assert.deepEqual(Buffer.from(decompress(Codec.GZIP, gzipSync(input), input.length)), input);
  });

  it('refuse what is corrupt and codecs that do not exist', async () => {
    for (const [, codec] of codecs.slice(1)) {
      assert.throws(() => decompress(codec, Buffer.from('this is not compressed'), 1000));
      await assert.rejects(decompressAsync(codec, Buffer.from('neither is this'), 1000));
    }
    assert.throws(() => compress(5 as Codec, Buffer.alloc(1)), RangeError);
  });
});
