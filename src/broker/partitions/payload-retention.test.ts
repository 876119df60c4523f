import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileSystem } from '../../backend/log/ports.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { enforcePayloadRetention } from './payload-retention.ts';
import { referencesOf } from './recovery.ts';
import { TestBroker, topicConfig } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 3 }] };

describe('Retention of payload', () => {
  let directory: string;
  let broker: TestBroker;

  let isFull: boolean;

  beforeEach(async () => {
    isFull = false;
    directory = mkdtempSync(join(tmpdir(), 'payload-retention-'));
    const config = topicConfig({ 'payload.min.bytes': '1000', 'retention.ms': '60000' });
    const faulty = (fileSystem: FileSystem): FileSystem => ({
      ...fileSystem,
      replaceFile: (path, bytes) =>
        isFull
          ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
          : fileSystem.replaceFile(path, bytes),
    });
    broker = await TestBroker.start(directory, [TOPIC], config, undefined, { faulty });
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  const produce = (timestamp: bigint) => {
    const value = Buffer.alloc(5000, 'v');
    const batch = buildBatch([{ key: Buffer.from('k'), value }], { timestamp });
    return broker.partitions.find('t', 0)!.produce(batch, null, true);
  };

  it('goes by when the log was written where records have no timestamps', async () => {
    const partition = broker.partitions.find('t', 0)!;
    for (let i = 0; i < 3; i++) await produce(-1n);
    assert.equal(broker.partitions.metrics.divertedRecords, 3);
    await enforcePayloadRetention(partition, Date.now());
    assert.equal(partition.logStartOffset, 0n);
    await enforcePayloadRetention(partition, Date.now() + 120_000);
    assert.equal(partition.logStartOffset, 3n);
  });

  it('does not keep those from going on who read what the log refers to', async () => {
    const partition = broker.partitions.find('t', 0)!;
    const { log } = partition;
    log.updateConfig({ ...log.config, segmentBytes: 200 });
    for (let i = 0; i < 6; i++) await produce(BigInt(Date.now()));
    assert.equal(log.segmentCount, 6);
    const found: bigint[] = [];
    for await (const { baseOffset } of referencesOf(log, 0n)) {
      found.push(baseOffset);
      if (found.length === 1) await partition.deleteRecordsBefore(4n);
    }
    assert.deepEqual(found, [0n, 4n, 5n]);
  });

  it('is done again when the log start could not be written down', async () => {
    const partition = broker.partitions.find('t', 0)!;
    for (let i = 0; i < 3; i++) await produce(BigInt(Date.now()));
    isFull = true;
    await assert.rejects(enforcePayloadRetention(partition, Date.now() + 120_000), { code: 'ENOSPC' });
    await partition.payloads.settled();
    assert.equal(partition.payloads.isEmpty, false);
    isFull = false;
    await enforcePayloadRetention(partition, Date.now() + 120_000);
    await partition.payloads.settled();
    assert.equal(partition.payloads.isEmpty, true);
  });
});
