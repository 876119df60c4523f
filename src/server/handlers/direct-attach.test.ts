import assert from 'node:assert/strict';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import { directAttachHandler } from './16384-direct-attach.ts';
import { call } from './handler.fixture.ts';

describe('DirectAttach', () => {
  it('looks for each transport once, however often it is named', async () => {
    let looks = 0;
    const fabric = {
      ways: async () => {
        looks++;
        throw new Error('there is no provider');
      },
    };
    const limits = { maxRequestBytes: 1, maxRanges: 1 };
    const encrypts = () => false;
    const direct = { attachments: null, fabric, limits, maxFrameBytes: 1, encrypts };
    const handler = directAttachHandler(direct as unknown as DirectService);
    const transports = [...Array(1000).fill('fabric'), 'inline'];
    assert.equal((await call(handler, 1, { transports })).transport, 'inline');
    assert.equal(looks, 1);
    transports.pop();
    const { errorMessage } = await call(handler, 1, { transports });
    assert.match(errorMessage!, /^None of fabric is served here \(there is no provider\)/);
  });
});
