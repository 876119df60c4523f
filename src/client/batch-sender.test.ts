import assert from 'node:assert/strict';
import { type BatchIdentity, BatchSender, type BatchSenderOptions } from './batch-sender.ts';
import { DirectError } from './errors.ts';

const DATA_BYTES = 64 * 1024;

describe('sender of batches', () => {
  /** Whose gateway goes away during a put from memory that it has lent. */
  function senderOf(lost: DirectError): BatchSender {
    const mapped = {};
    const data = { owner: mapped, bytes: new Uint8Array(DATA_BYTES), frame: () => ({ region: -1 }) };
    const channel = {
      connection: { call: () => Promise.reject(lost) },
      attachment: { path: 'shared-memory', id: 1n, mapped, limits: { frameBytes: 1 << 20 } },
    };
    return new BatchSender({
      topic: { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ' },
      cluster: { leaderOf: async () => 0, channel: async () => channel, options: { requestTimeoutMs: 1000 } },
      pool: { mappedAt: () => data, locate: () => ({}), lentOf: () => [] },
      acks: 1,
      transactionalId: null,
    } as unknown as BatchSenderOptions);
  }

  it('does not have data sent again that may be the gateway’s, unless that is known to be a duplicate', async () => {
    const data = [new Uint8Array(DATA_BYTES)];
    const event = { key: null, data, dataBytes: DATA_BYTES, metadata: null, headers: [], timestamp: 0 };
    const sendOne = (sender: BatchSender, identity: BatchIdentity | null) =>
      sender.send(0, sender.encode([event]), identity, false, () => {});
    const send = (lost: DirectError, identity: BatchIdentity | null) => sendOne(senderOf(lost), identity);
    for (const code of ['CONNECTION', 'TIMEOUT'] as const) {
      const lost = new DirectError(code, 'lost', { doing: 'test' });
      await assert.rejects(send(lost, null), { code: 'CONNECTION', retriable: false });
      const identity = { producerId: 1n, producerEpoch: 0, baseSequence: 0 };
      await assert.rejects(send(lost, identity), lost);
    }
  });
});
