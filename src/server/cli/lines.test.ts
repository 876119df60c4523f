import assert from 'node:assert/strict';
import fc from 'fast-check';
import { linesOf } from './lines.ts';

async function* inChunks(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  yield bytes.subarray(at);
}

async function textsOf(input: AsyncIterable<Uint8Array>, maxBytes?: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const { number, text } of linesOf(input, maxBytes)) {
    texts.push(text);
    assert.equal(number, texts.length);
  }
  return texts;
}

describe('lines of standard input', () => {
  it('are what splitting the whole gives, wherever chunks end', async () => {
    const line = fc
      .string({ unit: 'binary' })
      .map((text) => text.replaceAll('\n', '').replaceAll('\ufeff', ''));
    const input = fc.tuple(fc.array(line), fc.array(fc.nat(9)), fc.boolean());
    await fc.assert(
      fc.asyncProperty(input, async ([lines, sizes, isEnded]) => {
        const texts = isEnded ? lines : [...lines, 'last'];
        const whole = texts.map((text) => `${text}\n`).join('');
        const bytes = Buffer.from(isEnded ? whole : whole.slice(0, -1));
        assert.deepEqual(await textsOf(inChunks(bytes, sizes)), texts);
      }),
    );
  });

  it('are no longer than they may be, and UTF-8', async () => {
    const of = (...parts: (string | Buffer)[]) =>
      inChunks(Buffer.concat(parts.map((part) => Buffer.from(part as string))), [3, 2]);
    assert.deepEqual(await textsOf(of('12345\n', '12345'), 5), ['12345', '12345']);
    await assert.rejects(textsOf(of('1\n', '123456'), 5), /^Error: line 2 is longer than 5 bytes$/);
    await assert.rejects(textsOf(of('1\n2\n', Buffer.from([0xff]), '\n')), /^Error: line 3 is not UTF-8$/);
  });
});
