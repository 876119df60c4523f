import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import { ReferenceKeys } from '../../broker/direct/reference-keys.ts';
import { signBatches } from '../../broker/direct/signed-batches.ts';
import { TestBroker, topicConfig } from '../../broker/partitions/testing.ts';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { arenaStats } from '../../native/arena.ts';
import { releasePieces } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  createDirectFetchPartition,
  createDirectFetchTopic,
} from '../../protocol/generated/direct-fetch-request.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { directFetchHandler } from './16390-direct-fetch.ts';
import { call } from './handler.fixture.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const VALUE_BYTES = 100_000;

describe('DirectFetch', () => {
  let directory: string;
  let broker: TestBroker;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'direct-fetch-'));
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({ 'payload.min.bytes': '2000' }));
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  function handler() {
    const { partitions, fetches } = broker;
    const keys = new ReferenceKeys(60_000, systemClock);
    const direct = { gets: { countFetched: () => {} } } as unknown as DirectService;
    const quota = new RateQuota('rate', systemClock, { samples: 11, sampleMs: 1000 });
    const served = directFetchHandler({
      ...{ direct, partitions, fetches, quota },
      signing: (principal) => (_, batches) =>
        signBatches(batches, { keys, principal, topicId: TOPIC.id, partition: 0 }),
    });
    const handle: typeof served.handle = async (request, context) => {
      const response = (await served.handle(request, context))!;
      releasePieces(served.trailer!(response));
      return response;
    };
    return { ...served, handle };
  }

  async function produce(): Promise<void> {
    const batch = buildBatch([{ key: null, value: Buffer.alloc(VALUE_BYTES, 1), timestamp: 1n }]);
    await broker.partitions.find('t', 0)!.produce(batch, null, true);
  }

  const partitions = [createDirectFetchPartition({ index: 0, fetchOffset: 0n })];
  const requestOf = (...names: string[]) => ({
    ...{ maxWaitMs: 0, maxBytes: 1 << 20, extentBytes: 1 << 20 },
    topics: names.map((name) => createDirectFetchTopic({ name, partitions })),
  });

  it('tells of topics that are not there beside data that comes along', async () => {
    await produce();
    const answer = await call(handler(), 0, requestOf('gone', 't'));
    const [gone, there] = answer.topics.map((topic) => topic.partitions[0]!);
    assert.equal(gone!.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.deepEqual(gone!.extents, []);
    assert.equal(there!.errorCode, ErrorCode.NONE);
    assert.equal(there!.extents.length, 1);
  });

  it('lets no more data come along than answers of the connection may hold', async () => {
    for (let i = 0; i < 3; i++) await produce();
    const { topics } = await call(handler(), 0, requestOf('t'), 2.5 * VALUE_BYTES);
    assert.equal(topics[0]!.partitions[0]!.extents.length, 2);
  });
});
