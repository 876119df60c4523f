import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../config/index.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { createCreatableTopic } from '../../protocol/generated/create-topics-request.ts';
import { createOffsetCommitRequest } from '../../protocol/generated/offset-commit-request.ts';
import { createOffsetFetchRequest } from '../../protocol/generated/offset-fetch-request.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { EmbeddedBroker } from '../embedded-broker.ts';
import { commitOffsets } from './offset-commit.ts';
import { fetchOffsets } from './offset-fetch.ts';
import type { TopicNames } from './ports.ts';

describe('a topic whose deletion was cut short', () => {
  let dir: string;
  let broker: EmbeddedBroker;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-former-topics-'));
    await open();
  });
  afterEach(async () => {
    await broker.close();
    rmSync(dir, { recursive: true, force: true });
  });

  async function open(): Promise<void> {
    const config = loadConfig({
      environment: {},
      overrides: [`log.dirs=${join(dir, 'data')}`, 'offsets.topic.num.partitions=2'],
      host: { isRoot: false, homeDirectory: dir },
    });
    const endpoints = [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }];
    broker = await EmbeddedBroker.open({ config, clock: systemClock, logger: silentLogger, endpoints });
  }

  async function create(): Promise<void> {
    const topic = createCreatableTopic({ name: 't', numPartitions: 1, replicationFactor: 1 });
    const [outcome] = await broker.topics.createTopics([topic]);
    assert.equal(outcome!.error, null);
  }

  const names: TopicNames = {
    partitionCount: (name) => broker.metadata.topicByName(name)?.partitions.length ?? null,
    idOf: (name) => broker.metadata.topicByName(name)?.id ?? null,
    nameOf: (id) => broker.metadata.topicById(id)?.name ?? null,
  };

  async function commit(committedOffset: bigint): Promise<void> {
    const part = { partitionIndex: 0, committedOffset, committedLeaderEpoch: -1, committedMetadata: '' };
    const topics = [{ name: 't', topicId: '', partitions: [part] }];
    const request = createOffsetCommitRequest({ groupId: 'g', topics });
    const response = await commitOffsets(broker.groups, names, request, 9);
    assert.equal(response.topics[0]!.partitions[0]!.errorCode, ErrorCode.NONE);
  }

  /** All offsets of the group, once it is loaded. */
  async function committed(): Promise<bigint[]> {
    const group = { groupId: 'g', memberId: null, memberEpoch: -1, topics: null };
    for (;;) {
      const request = createOffsetFetchRequest({ groups: [group] });
      const { errorCode, topics } = fetchOffsets(broker.groups, names, request, 9).groups[0]!;
      if (errorCode === ErrorCode.NONE)
        return topics.flatMap(({ partitions }) => partitions.map((each) => each.committedOffset));
      assert.equal(errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
      await sleep(5);
    }
  }

  it('leaves no offsets to the next one with its name, nor to a start', async () => {
    await create();
    assert.equal(await broker.groups.prepare(), ErrorCode.NONE);
    await commit(7n);
    assert.deepEqual(await committed(), [7n]);
    broker.groups.topicDeleted = async () => {};
    await broker.topics.deleteTopics(() => [names.idOf('t')!]);
    await create();
    assert.deepEqual(await committed(), []);
    await broker.close();
    await open();
    assert.deepEqual(await committed(), []);
    await commit(1n);
    await broker.close();
    await open();
    assert.deepEqual(await committed(), [1n]);
  });
});
