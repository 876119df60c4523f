import assert from 'node:assert/strict';
import { Codec, compressAsync } from './codec.ts';
import { recoverAcknowledged } from './journal.ts';

describe('Completions', () => {
  it('fail one by one when their results cannot be made', async () => {
    // Native code comes upon it when it fills the report.
    Object.defineProperty(Object.prototype, 'keptFiles', {
      configurable: true,
      set() {
        throw new Error('on purpose');
      },
    });
    try {
      const report = recoverAcknowledged('completions-test');
      const others = Array.from({ length: 100 }, () => compressAsync(Codec.ZSTD, Buffer.alloc(1000)));
      await assert.rejects(report, /on purpose/);
      await Promise.all(others);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'keptFiles');
    }
  });
});
