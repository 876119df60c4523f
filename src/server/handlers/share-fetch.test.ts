import assert from 'node:assert/strict';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { ShareFetchCall, ShareService } from '../../broker/share/share-service.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { shareFetchHandler } from './78-share-fetch.ts';
import { call } from './handler.fixture.ts';

describe('ShareFetch', () => {
  it('asks for no more than a client with a quota gets without a long wait', async () => {
    const calls: ShareFetchCall[] = [];
    const service = {
      fetch: async (asked: ShareFetchCall) => {
        calls.push(asked);
        return [];
      },
      lockDurationMs: () => 30_000,
    } as unknown as ShareService;
    const quota = new RateQuota('consumer_byte_rate', new VirtualClock(), { samples: 11, sampleMs: 1000 });
    const handler = shareFetchHandler({ service, quota });
    const request = { groupId: 'group', memberId: 'member', maxBytes: 1_000_000 };
    await call(handler, 2, request);
    quota.update([
      { entity: new Map([['client-id', 'test']]), values: new Map([['consumer_byte_rate', 1000]]) },
    ]);
    await call(handler, 2, request);
    assert.deepEqual(
      calls.map(({ maxBytes }) => maxBytes),
      [1_000_000, 10_000],
    );
  });
});
