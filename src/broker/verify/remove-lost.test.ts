import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PayloadError, type PayloadErrorReason } from '../../backend/payload/checked-reads.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import type { Partition } from '../partitions/partition.ts';
import { TestBroker, topicConfig } from '../partitions/testing.ts';
import { lostIn } from './remove-lost.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };

describe('lostIn', () => {
  let directory: string;
  let broker: TestBroker;
  let partition: Partition;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lost-'));
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({ 'payload.min.bytes': '1000' }));
    partition = broker.partitions.find('t', 0)!;
    for (let i = 0; i < 3; i++) {
      const record = { key: null, value: Buffer.alloc(5000, i) };
      await partition.produce(buildBatch([record], { timestamp: BigInt(Date.now()) }), null, true);
    }
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  /** The second batch cannot be read. */
  function fail(reason: PayloadErrorReason): void {
    const { payloads } = partition;
    const read = payloads.read.bind(payloads);
    let reads = 0;
    payloads.read = (reference) =>
      ++reads === 2
        ? Promise.reject(new PayloadError(reason, reference.segmentId, 'fault'))
        : read(reference);
  }

  for (const reason of ['missing', 'damaged'] as const)
    it(`finds what is ${reason}`, async () => {
      fail(reason);
      const lost = await lostIn(partition);
      assert.deepEqual(
        lost.map(({ baseOffset }) => baseOffset),
        [1n],
      );
    });

  it('takes nothing for lost that could not be looked for, be it for a moment', async () => {
    fail('unreachable');
    await assert.rejects(lostIn(partition), /nothing is removed while payload may be .*fault/);
  });
});
