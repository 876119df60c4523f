import assert from 'node:assert/strict';
import { BatchBuffers } from './batch-buffers.ts';

describe('buffers of batches', () => {
  it('are used again for batches of about the same size', () => {
    const buffers = new BatchBuffers();
    const first = buffers.take(130_000);
    assert.ok(first.byteLength >= 130_000);
    assert.notEqual(buffers.take(130_000), first);
    buffers.give(first);
    assert.equal(buffers.take(131_000), first);
    buffers.give(first);
    // It would be held for much less, or is not large enough.
    for (const bytes of [40_000, 1_000_000]) {
      const other = buffers.take(bytes);
      assert.ok(other !== first && other.byteLength >= bytes);
    }
  });

  it('are not kept without end, nor those of small batches', () => {
    const buffers = new BatchBuffers();
    const given = Array.from({ length: 100 }, () => buffers.take(1 << 20));
    for (const one of given) buffers.give(one);
    let kept = 0;
    while (given.includes(buffers.take(1 << 20))) kept++;
    assert.equal(kept, 16);
    const small = buffers.take(100);
    buffers.give(small);
    assert.notEqual(buffers.take(100), small);
  });
});
