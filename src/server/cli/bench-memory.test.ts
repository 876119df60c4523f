import assert from 'node:assert/strict';
import type { Client } from '../../client/index.ts';
import { sinkOf, sourceOf } from './bench-memory.ts';

describe('memory of the direct benchmark', () => {
  /** What is taken of a client that has no memory of its own. */
  async function taken(size: number): Promise<{ slots: number; bytes: number[] }> {
    const bytes: number[] = [];
    const allocate = async (wanted: number) => {
      bytes.push(wanted);
      return { bytes: new Uint8Array(0), release() {} };
    };
    const client = { path: 'shared-memory', allocate } as unknown as Client;
    const { slots } = await sourceOf(client, size);
    await sinkOf(client, () => true, size);
    return { slots, bytes };
  }

  it('is bounded, however small or large events are', async () => {
    for (const size of [0, 1, 100, 1e5, 1e6, 6e7, 6e8, 2 ** 31 - 1]) {
      const { slots, bytes } = await taken(size);
      assert.ok(slots >= 2 && slots <= 131_072, `${slots} events of ${size} bytes under way`);
      for (const one of bytes) assert.ok(one <= Math.max(128 << 20, 2 * size), `${one} bytes for ${size}`);
    }
  });
});
