import assert from 'node:assert/strict';
import { External } from './external.ts';

describe('a system that is running already', () => {
  it('has the process that was named, and an address where something answers', async () => {
    await assert.rejects(new External('x', '127.0.0.1:1', 2 ** 30).start(), /there is no process 1073741824/);
    await assert.rejects(
      new External('x', '127.0.0.1:1', process.pid).start(),
      /nothing answers at 127.0.0.1:1/,
    );
    assert.throws(() => new External('x', '127.0.0.1', null), /is not an address/);
  });
});
