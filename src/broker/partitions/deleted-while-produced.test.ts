import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { TestBroker, topicConfig } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };

describe('a topic that is deleted while it is produced to', () => {
  let directory: string;
  let broker: TestBroker;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'deleted-'));
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({ 'payload.min.bytes': '2000' }));
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  it('leaves nothing behind, nor does what was still being checked', async () => {
    const partition = broker.partitions.find('t', 0)!;
    const letGo = await partition.holdAppends();
    const batch = buildBatch([{ key: null, value: Buffer.alloc(100_000, 1), timestamp: 1n }]);
    const code = ErrorCode.KAFKA_STORAGE_ERROR;
    const produced = assert.rejects(Promise.resolve(partition.produce(batch, null, true)), { code });
    await broker.partitions.topicDeleted(TOPIC);
    letGo();
    await produced;
    assert.equal(existsSync(join(directory, 't-0')), false);
  });
});
