import assert from 'node:assert/strict';
import { checkBatches } from '../native/batch.ts';
import { Codec } from '../native/codec.ts';
import type { DirectPutRequest } from '../protocol/generated/direct-put-request.ts';
import { readRecords } from '../protocol/records/reader.ts';
import { type BatchIdentity, BatchSender, type BatchSenderOptions } from './batch-sender.ts';
import { DirectError } from './errors.ts';

const DATA_BYTES = 64 * 1024;

/** With one gateway, and of which nothing is known. */
function clusterOf(channel: unknown) {
  const options = { requestTimeoutMs: 1000 };
  return { leaderOf: async () => 0, channel: async () => channel, known: () => null, options };
}

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
      cluster: clusterOf(channel),
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

  /** A pool whose memory is one buffer, and a gateway that makes batches whole out of it. */
  function placing() {
    const shared = new Uint8Array(1 << 20);
    const lengths: number[] = [];
    const whole: Buffer[] = [];
    let taken = 0;
    const allocate = async (bytes: number) => {
      lengths.push(bytes);
      const start = taken;
      taken += bytes;
      return { bytes: shared.subarray(start, taken), release: () => {} };
    };
    const call = async (_put: unknown, _answer: unknown, { topics }: DirectPutRequest) => {
      const { batch, data } = topics[0]!.partitions[0]!;
      const parts: Uint8Array[] = [];
      let from = 0;
      for (const { at, offset, length } of data) {
        parts.push(batch.subarray(from, at), shared.subarray(Number(offset), Number(offset) + length));
        from = at;
      }
      whole.push(Buffer.concat([...parts, batch.subarray(from)]));
      return {
        errorCode: 0,
        topics: [{ partitions: [{ errorCode: 0, errorMessage: null, baseOffset: 5n }] }],
      };
    };
    const attachment = { path: 'shared-memory', id: 1n, mapped: null, limits: { frameBytes: 1 << 20 } };
    const channel = { connection: { call }, attachment: { ...attachment, regionOf: () => 1 } };
    const sender = new BatchSender({
      topic: { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ' },
      cluster: clusterOf(channel),
      pool: {
        allocate,
        mappedAt: () => null,
        lentOf: () => [],
        handedOver: () => {},
        locate: ({ buffer, byteOffset }: Uint8Array) =>
          buffer === shared.buffer ? { chunk: shared, offset: byteOffset } : null,
      },
      acks: 'all',
      transactionalId: null,
      codec: Codec.NONE,
    } as unknown as BatchSenderOptions);
    return { sender, shared, lengths, whole };
  }

  it('copies data into shared memory that is elsewhere, all of an event’s that lies together at once', async () => {
    const { sender, shared, lengths, whole } = placing();
    const there = shared.subarray((1 << 20) - 40_000).fill(9);
    const part = (size: number, content: number) => new Uint8Array(size).fill(content);
    const values = [
      [part(10, 1), part(20_000, 2), part(30, 3), part(5_000, 4), part(7, 5)],
      [part(6_000, 6), there, part(8_000, 7)],
      [part(100, 8)],
      [part(4_096, 1)],
    ];
    const events = values.map((data) => {
      const dataBytes = data.reduce((sum, { byteLength }) => sum + byteLength, 0);
      return { key: null, data, dataBytes, metadata: '{"é":1}', headers: [], timestamp: 1 };
    });
    assert.equal(await sender.send(0, sender.encode(events), null, false, () => {}), 5n);
    assert.deepEqual(lengths, [25_030, 6_000, 8_000, 4_096]);
    assert.equal(checkBatches(whole[0]!, { maxUncompressedBytes: 2 ** 30 })[0]!.errorMessage, null);
    assert.deepEqual(
      readRecords(whole[0]!).map(({ value }) => Buffer.from(value!)),
      values.map((data) => Buffer.concat(data)),
    );
  });
});
