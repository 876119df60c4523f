import assert from 'node:assert/strict';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { directGetHandler } from './16386-direct-get.ts';
import { call } from './handler.fixture.ts';

describe('DirectGet', () => {
  it('counts what was got in the fetch quota, and nothing else', async () => {
    const got = (length: number, errorCode: number) => ({ errorCode, errorMessage: null, length, crc: 0 });
    const items = [got(600, ErrorCode.NONE), got(1_000_000, ErrorCode.OFFSET_OUT_OF_RANGE)];
    const gets = { get: async () => ({ items, data: [], heldBytes: 0 }) };
    const direct = { attachments: null, gets } as unknown as DirectService;
    const quota = new RateQuota('rate', new VirtualClock(), { samples: 11, sampleMs: 1000 });
    quota.update([{ entity: new Map([['client-id', 'test']]), values: new Map([['rate', 100]]) }]);
    const handler = directGetHandler(direct, quota);
    assert.equal((await call(handler, 0, {})).throttleTimeMs, 0);
    // 1200 bytes in ten seconds, where 1000 are allowed.
    const { throttleTimeMs } = await call(handler, 0, {});
    assert.equal(throttleTimeMs, 2000);
  });
});
