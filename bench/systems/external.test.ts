import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { External } from './external.ts';
import { answers } from './wire.ts';

describe('a system that is running already', () => {
  it('answers within its time', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    assert.equal(await answers(`127.0.0.1:${(server.address() as AddressInfo).port}`, 20), false);
    server.close();
  });

  it('has the process that was named, and an address where something answers', async () => {
    await assert.rejects(new External('x', '127.0.0.1:1', 2 ** 30).start(), /there is no process 1073741824/);
    await assert.rejects(
      new External('x', '127.0.0.1:1', process.pid).start(),
      /nothing answers at 127.0.0.1:1/,
    );
    assert.throws(() => new External('x', '127.0.0.1', null), /is not an address/);
  });
});
