import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { arenaStats } from '../../native/arena.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { markerBatch } from '../transaction-marker.ts';
import type { Partition } from './partition.ts';
import { TestBroker, topicConfig, withoutPlace } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 3 }] };
const NOW = Date.now();

describe('reading committed records', () => {
  let directory: string;
  let broker: TestBroker;
  let partition: Partition;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'committed-'));
    await start();
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  async function start(): Promise<void> {
    const config = topicConfig({ 'payload.min.bytes': '1000' });
    broker = await TestBroker.start(directory, [TOPIC], config);
    partition = broker.partitions.find('t', 0)!;
  }

  function batch(producerId: bigint, baseSequence: number, bytes = 100): Uint8Array {
    return buildBatch([{ key: Buffer.from('k'), value: Buffer.alloc(bytes, 'v') }], {
      timestamp: BigInt(NOW),
      producerId,
      producerEpoch: 0,
      baseSequence,
      attributes: producerId < 0n ? 0 : 0x10,
    });
  }

  const produce = (bytes: Uint8Array) => partition.produce(bytes, null, true, true);
  const end = (producerId: bigint, commit: boolean) =>
    partition.appendAsCoordinator(
      markerBatch({ producerId, producerEpoch: 0, coordinatorEpoch: 0, commit }, NOW),
    );
  const fetch = (offset: bigint, maxWaitMs = 0) =>
    broker.fetch('t', 0, offset, { isolation: 'read_committed', maxWaitMs });

  it('gives payload of transactions back, and names those that were aborted, also after a crash', async () => {
    const batches = [batch(7n, 0, 5000), batch(8n, 0, 5000), batch(7n, 1, 5000)];
    for (const one of batches) await produce(one);
    assert.equal(broker.partitions.metrics.divertedRecords, 3);
    assert.equal((await fetch(0n)).bytes.length, 0);
    await end(7n, false);
    const first = await fetch(0n);
    assert.equal(first.result.lastStableOffset, 1n);
    assert.deepEqual(withoutPlace(first.bytes), withoutPlace(batches[0]!));
    assert.deepEqual(
      first.result.abortedTransactions?.map(({ producerId, firstOffset }) => [producerId, firstOffset]),
      [[7n, 0n]],
    );
    await end(8n, true);
    for (let starts = 0; starts < 3; starts++) {
      const { result, bytes } = await fetch(0n);
      assert.equal(result.lastStableOffset, 5n);
      assert.equal(result.abortedTransactions?.length, 1);
      assert.ok(bytes.length > 15_000);
      assert.deepEqual((await fetch(4n)).result.abortedTransactions, [], 'behind it');
      if (starts === 0) await broker.crash();
      else await broker.stop();
      await start();
    }
  });

  it('gives nothing of segments that go while they are read, for with them goes what was aborted', async () => {
    const { log } = partition;
    await produce(batch(7n, 0));
    await end(7n, false);
    for (let segments = 0; segments < 2; segments++) {
      await log.relocation.settleClosed(0);
      await produce(batch(-1n, -1));
    }
    const read = log.read.bind(log);
    log.read = async (...given) => {
      log.read = read;
      const found = await read(...given);
      await log.deleteRecordsBefore(2n);
      assert.equal(await log.deleteOldSegments(), 1);
      return found;
    };
    const { result, bytes } = await fetch(0n);
    assert.equal(bytes.length, 0);
    assert.equal(result.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
  });

  it('wakes who waits for committed records when a transaction ends, not before', async () => {
    await produce(batch(7n, 0));
    let answered = false;
    const waiting = fetch(0n, 20_000).then((found) => {
      answered = true;
      return found;
    });
    await produce(batch(7n, 1));
    await produce(batch(-1n, -1));
    await sleep(20);
    assert.equal(answered, false);
    await end(7n, true);
    assert.equal((await waiting).result.lastStableOffset, 4n);
  });
});
