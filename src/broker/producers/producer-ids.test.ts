import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { silentLogger } from '../../util/logger.ts';
import { ProducerIds } from './producer-ids.ts';

describe('ProducerIds', () => {
  it('gives out each id once, asking for one block at a time', async () => {
    let blocks = 0;
    const ids = new ProducerIds(async () => ({ first: BigInt(blocks++ * 3), size: 3 }), silentLogger);
    const given = await Promise.all(Array.from({ length: 7 }, () => ids.next()));
    assert.deepEqual(given.map(Number).sort(), [0, 1, 2, 3, 4, 5, 6]);
    assert.equal(blocks, 3);
  });

  it('asks again after a failure', async () => {
    let fail = true;
    const ids = new ProducerIds(async () => {
      if (fail) throw new Error('no');
      return { first: 5n, size: 1 };
    }, silentLogger);
    await assert.rejects(ids.next(), { code: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS });
    fail = false;
    assert.equal(await ids.next(), 5n);
  });
});
