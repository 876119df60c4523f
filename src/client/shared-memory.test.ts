import assert from 'node:assert/strict';
import { SharedPool } from './shared-memory.ts';

const PAGE = 4096;

describe('registered memory', () => {
  it('of which nothing is used makes room for other pieces, and what is used stays', async () => {
    const pool = new SharedPool(PAGE, 8 * PAGE);
    const first = (await pool.allocate(5 * PAGE))!;
    const small = (await pool.allocate(PAGE))!;
    small.bytes.fill(7);
    assert.equal(await pool.allocate(6 * PAGE), null, 'the first piece is used');
    first.release();
    const second = (await pool.allocate(6 * PAGE))!;
    assert.equal(second.bytes.byteLength, 6 * PAGE);
    assert.equal(pool.locate(first.bytes), null);
    assert.notEqual(pool.locate(small.bytes), null);
    assert.ok(small.bytes.every((byte) => byte === 7));
    assert.equal(await pool.allocate(2 * PAGE), null);
    second.release();
    small.release();
    const whole = (await pool.allocate(8 * PAGE))!;
    assert.notEqual(pool.locate(whole.bytes), null);
  });

  it('is had up to the limit, however large its pieces are', async () => {
    for (const chunkPages of [4, 64]) {
      const pool = new SharedPool(chunkPages * PAGE, 7 * PAGE + 100);
      const held = [await pool.allocate(4 * PAGE), await pool.allocate(2 * PAGE), await pool.allocate(PAGE)];
      assert.ok(!held.includes(null), `pieces of ${chunkPages} pages`);
      assert.equal(await pool.allocate(PAGE), null);
    }
  });
});
