import assert from 'node:assert/strict';
import { type ClientOptions, checkClientOptions } from './client-options.ts';
import { type ConsumerOptions, checkConsumerOptions } from './consumer-options.ts';
import { checkProducerOptions, type ProducerOptions } from './producer-options.ts';

/** Options of programs that no compiler looks at. */
type Wrong = Record<string, unknown>;
const INVALID = { name: 'DirectError', code: 'INVALID_ARGUMENT' };

describe('options of the client library', () => {
  it('of clients are refused before anything is connected', () => {
    const bootstrap = 'localhost:9094';
    const wrong: Wrong[] = [
      {},
      { bootstrap: [] },
      { bootstrap: 'localhost' },
      { bootstrap: 'localhost:99999' },
      { bootstrap: [7] },
      { bootstrap, path: 'shm' },
      { bootstrap, requestTimeoutMs: 0 },
      { bootstrap, sharedMaxBytes: Number.NaN },
    ];
    for (const options of wrong)
      assert.throws(
        () => checkClientOptions(options as unknown as ClientOptions),
        INVALID,
        JSON.stringify(options),
      );
    assert.deepEqual(checkClientOptions({ bootstrap: 'a:1, [::1]:2' }).bootstrap, [
      { host: 'a', port: 1 },
      { host: '::1', port: 2 },
    ]);
  });

  it('of consumers are refused when they are made', () => {
    const wrong: Wrong[] = [
      { groupId: 'g', partitions: [0] },
      { commitEveryMs: 'transaction' },
      { commitEveryMs: 'auto' },
      { commitEveryMs: 0 },
      { from: 'begin' },
      { from: { offset: 5 } },
      { from: { timestamp: 1.5 } },
      { from: null },
      { isolation: 'read_committed' },
      { prefetchBytes: -1 },
      { maxWaitMs: '1s' },
      { groupId: 'g', heartbeatMs: 45_000 },
      { groupId: 'g', heartbeatMs: 0 },
      { groupId: 'g', sessionTimeoutMs: 2 ** 40 },
      { partitions: 2 },
      { partitions: [0, 0] },
      { partitions: ['0'] },
      { select: 'most' },
      { select: { rules: [{}] } },
    ];
    for (const options of wrong)
      assert.throws(() => checkConsumerOptions(options as ConsumerOptions), INVALID, JSON.stringify(options));
    assert.equal(checkConsumerOptions({ from: { offset: 5n } }).commitEveryMs, 5000);
    assert.equal(checkConsumerOptions({ maxWaitMs: 2 ** 40 }).maxWaitMs, 2 ** 31 - 1, 'as a request says it');
    assert.equal(checkConsumerOptions({ prefetchBytes: 3 * 2 ** 30 }).prefetchBytes, 2 ** 31 - 1);
  });

  it('of producers are refused when they are made', () => {
    const wrong: Wrong[] = [
      { acks: 1, idempotent: true },
      { acks: 1, transactionalId: 't' },
      { transactionalId: '' },
      { batchSize: 0 },
      { lingerMs: 'never' },
      { maxInFlight: 6 },
      { compression: 'zip' },
    ];
    for (const options of wrong)
      assert.throws(() => checkProducerOptions(options as ProducerOptions), INVALID, JSON.stringify(options));
  });
});
