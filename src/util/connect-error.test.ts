import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { connectError } from './connect-error.ts';
import { freePort } from './free-port.ts';

describe('errors of connections', () => {
  it('say what happened at each address of a name', async () => {
    const port = await freePort();
    const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    const socket = connect({
      host: 'two.example',
      port,
      lookup: (_name, _options, done) => done(null, addresses),
    });
    const [error] = (await once(socket, 'error')) as [Error];
    assert.equal(error.message, '');
    const { message, code, syscall } = connectError(error);
    assert.equal(message, `connect ECONNREFUSED 127.0.0.1:${port}; connect ECONNREFUSED 127.0.0.2:${port}`);
    assert.deepEqual([code, syscall], ['ECONNREFUSED', 'connect']);
  });

  it('stay as they are where there is one', () => {
    const error = new Error('connect ECONNREFUSED 127.0.0.1:9');
    assert.equal(connectError(error), error);
  });
});
