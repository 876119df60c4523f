import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { type RegionOffer, RegionSocket } from '../native/direct.ts';
import { directAttachRequest } from '../protocol/generated/direct-attach-request.ts';
import { directAttachResponse } from '../protocol/generated/direct-attach-response.ts';
import { directReleaseResponse } from '../protocol/generated/direct-release-response.ts';
import { AttachAgain } from './attach-again.ts';
import type { Connection } from './connection.ts';
import { ClientAttachment } from './shared-memory.ts';

describe('clients that were turned away', () => {
  it('ask again later, less and less often, each for itself', () => {
    const again = new AttachAgain();
    const who = {};
    assert.equal(again.isDue(who, 0), false);
    assert.equal(again.isDue(who, 499), false);
    assert.equal(again.isDue(who, 1500), true);
    assert.equal(again.isDue(who, 1500 + 999), false);
    assert.equal(again.isDue(who, 1500 + 3000), true);
    let now = 20_000;
    for (let i = 0; i < 10; i++, now += 90_000) assert.equal(again.isDue(who, now), true);
    assert.equal(again.isDue(who, now - 90_000 + 29_999), false, 'not more often than each half minute');
    assert.equal(again.isDue({}, now), false);
  });

  describe('at the socket for shared memory', () => {
    let socket: RegionSocket;
    let asked: number;
    let refusals: number;

    beforeEach(() => {
      asked = 0;
      socket = new RegionSocket(`kafabric-test-${randomBytes(8).toString('hex')}`, [], {
        onOffer: ({ region }: RegionOffer) => (asked++ < refusals ? -constants.errno.EAGAIN : region),
        onMap: () => -constants.errno.EACCES,
        onGone: () => undefined,
      });
    });
    afterEach(() => socket.close());

    /** Answers as a gateway does. */
    const connection = {
      serves: () => false,
      isClosed: false,
      onClosed: () => undefined,
      call: async ({ apiKey }: { apiKey: number }, _: unknown, request: { transports?: string[] }) =>
        apiKey === directAttachRequest.apiKey
          ? directAttachResponse.create({
              transport: request.transports![0]!,
              attachmentId: 1n,
              socketName: socket.name,
              token: new Uint8Array(16),
            })
          : directReleaseResponse.create({}),
    } as unknown as Connection;

    it('try a few times before they go on without', async () => {
      refusals = 2;
      const attachment = await ClientAttachment.attach(connection, 'auto', {});
      assert.deepEqual([attachment.path, attachment.wasTurnedAway, asked], ['shared-memory', false, 3]);
    });

    it('go on without, and know why', async () => {
      refusals = Number.POSITIVE_INFINITY;
      const attachment = await ClientAttachment.attach(connection, 'auto', {});
      assert.deepEqual([attachment.path, attachment.wasTurnedAway, asked], ['tcp', true, 5]);
      await assert.rejects(ClientAttachment.attach(connection, 'shared-memory', {}), /too many clients ask/);
    });
  });
});
