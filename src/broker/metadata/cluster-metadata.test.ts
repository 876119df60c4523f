import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ErrorCode } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { AlterOperation } from '../configs/alteration.ts';
import { ConfigManager } from '../configs/config-manager.ts';
import type { ClusterMetadata } from './cluster-metadata.ts';
import {
  MemoryMetadataLog,
  newTopic,
  seededRandom,
  startBroker,
  type TestBroker,
} from './metadata.fixture.ts';
import { encodeMetadataRecord, metadataRecord } from './records.ts';
import { MetadataState, ResourceType } from './state.ts';
import { METADATA_TOPIC_ID, randomUuid } from './topic-id.ts';

/** Everything that a restart must keep. */
function snapshot(metadata: ClusterMetadata) {
  return [...metadata.topics()]
    .map(({ name, id, partitions }) => ({
      name,
      id,
      partitions: partitions.map(({ index, leaderEpoch, partitionEpoch, ...rest }) => ({ index, ...rest })),
      configs: [...metadata.state.configs(ResourceType.TOPIC, name)].sort(),
      firstEpoch: metadata.state.firstLeaderEpoch(name),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .concat(
      [1, 2, 3].map((n) => ({
        name: `config ${n}`,
        id: String(metadata.state.nextProducerId),
        partitions: [],
        configs: [...metadata.state.configs(ResourceType.BROKER, n === 1 ? '1' : '')].sort(),
        firstEpoch: metadata.state.firstLeaderEpoch(`t${n}`),
      })),
    );
}

function epochs(metadata: ClusterMetadata): Map<string, number[]> {
  return new Map(
    [...metadata.topics()].map(({ name, partitions }) => [
      name,
      partitions.map(({ leaderEpoch }) => leaderEpoch),
    ]),
  );
}

async function randomChange(broker: TestBroker, random: () => number): Promise<void> {
  const { metadata, topics } = broker;
  const name = `t${Math.floor(random() * 12)}`;
  const existing = metadata.topicByName(name);
  const configs = new ConfigManager(metadata);
  const choice = Math.floor(random() * 7);
  if (choice <= 1) {
    await topics.createTopics([newTopic(name, 1 + Math.floor(random() * 5), { 'retention.ms': '7' })]);
  } else if (choice === 2 && existing !== undefined) {
    await topics.deleteTopics(() => [existing.id]);
  } else if (choice === 3) {
    const count = (existing?.partitions.length ?? 0) + 1;
    await topics.createPartitions([{ name, count, assignments: null }], random() < 0.2);
  } else if (choice === 4) {
    const alteration = { name: 'segment.ms', operation: AlterOperation.SET, value: String(1 + choice) };
    await configs.incrementalAlter([{ type: ResourceType.TOPIC, name, alterations: [alteration] }], false);
  } else if (choice === 5) {
    const operation = random() < 0.5 ? AlterOperation.SET : AlterOperation.DELETE;
    const alteration = { name: 'log.retention.ms', operation, value: String(Math.floor(random() * 1e6)) };
    const resource = random() < 0.5 ? '' : '1';
    await configs.incrementalAlter(
      [{ type: ResourceType.BROKER, name: resource, alterations: [alteration] }],
      false,
    );
  } else {
    await metadata.allocateProducerIds();
  }
}

describe('ClusterMetadata', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it(`is the same after a restart, with higher leader epochs (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const log = new MemoryMetadataLog();
      for (let start = 0; start < 6; start++) {
        const broker = await startBroker(log, { seed: seed * 100 + start });
        for (let step = 0; step < 40; step++) await randomChange(broker, random);
        const overrides = ['metadata.log.max.record.bytes.between.snapshots=2000'];
        const restarted = await startBroker(log, { seed: seed * 1000 + start, overrides });
        assert.deepEqual(snapshot(restarted.metadata), snapshot(broker.metadata));
        const before = epochs(broker.metadata);
        for (const [name, values] of epochs(restarted.metadata)) {
          assert.deepEqual(
            values,
            before.get(name)!.map((epoch) => epoch + 1),
          );
        }
        assert.ok(restarted.metadata.brokerEpoch > broker.metadata.brokerEpoch);
      }
      assert.ok(log.snapshots > 0);
    });
  }

  it('runs the same seed to the same bytes', async () => {
    const run = async () => {
      const log = new MemoryMetadataLog();
      const broker = await startBroker(log, { seed: 9 });
      const random = seededRandom(9);
      for (let step = 0; step < 60; step++) await randomChange(broker, random);
      return Buffer.concat(log.values).toString('hex');
    };
    assert.equal(await run(), await run());
  });

  it('never lets the leader epoch of a name go down', async () => {
    const log = new MemoryMetadataLog();
    let last = -1;
    for (let start = 0; start < 4; start++) {
      const { metadata, topics } = await startBroker(log, { seed: start });
      for (let round = 0; round < 3; round++) {
        await topics.createTopics([newTopic('orders', 2)]);
        const topic = metadata.topicByName('orders')!;
        for (const { leaderEpoch } of topic.partitions) assert.ok(leaderEpoch > last);
        last = Math.max(...topic.partitions.map(({ leaderEpoch }) => leaderEpoch));
        if (round < 2) await topics.deleteTopics(() => [topic.id]);
      }
      await topics.deleteTopics(() => [metadata.topicByName('orders')!.id]);
    }
  });

  it('keeps leader epochs above those of names that are forgotten, also through a snapshot', () => {
    const state = new MetadataState();
    const topicId = METADATA_TOPIC_ID;
    for (let n = 0; n <= 10_000; n++) {
      state.apply(metadataRecord('topic', { name: `t${n}`, topicId }));
      const leaderEpoch = n === 0 ? 5 : 1;
      state.apply(metadataRecord('partition', { topicId, partitionId: 0, leaderEpoch }));
      state.apply(metadataRecord('removeTopic', { topicId }));
    }
    const replayed = new MetadataState();
    for (const record of state.records()) replayed.apply(record);
    for (const each of [state, replayed])
      assert.deepEqual([each.firstLeaderEpoch('t0'), each.firstLeaderEpoch('t1')], [6, 2]);
  });

  it('knows in which directory a partition is, also after a restart', async () => {
    const log = new MemoryMetadataLog();
    const { metadata, topics } = await startBroker(log);
    await topics.createTopics([newTopic('t', 2)]);
    const directory = randomUuid();
    const end = () => log.endOffset;
    await metadata.assignDirectory('t', 1, directory);
    const written = end();
    await metadata.assignDirectory('t', 1, directory);
    await metadata.assignDirectory('t', 2, directory);
    await metadata.assignDirectory('u', 0, directory);
    assert.equal(end(), written);
    const again = await startBroker(log, { seed: 2 });
    const [first, second] = again.metadata.topicByName('t')!.partitions;
    assert.deepEqual([first!.directories, second!.directories], [[ZERO_UUID], [directory]]);
    assert.equal(second!.leader, again.metadata.nodeId);
  });

  it('gives producer ids to nobody twice, also after a restart', async () => {
    const log = new MemoryMetadataLog();
    const firsts: bigint[] = [];
    for (let start = 0; start < 3; start++) {
      const { metadata } = await startBroker(log);
      const blocks = await Promise.all([metadata.allocateProducerIds(), metadata.allocateProducerIds()]);
      firsts.push(...blocks.map(({ first }) => first));
    }
    assert.deepEqual(firsts, [0n, 1000n, 2000n, 3000n, 4000n, 5000n]);
  });

  it('changes nothing when the log cannot be written', async () => {
    const log = new MemoryMetadataLog();
    const { metadata, topics } = await startBroker(log);
    log.failure = new Error('ENOSPC: no space left on device');
    await assert.rejects(topics.createTopics([newTopic('a')]), { code: ErrorCode.KAFKA_STORAGE_ERROR });
    assert.equal(metadata.topicByName('a'), undefined);
    const [outcome] = await topics.createTopics([newTopic('a')]);
    assert.equal(outcome?.error, null);
  });

  it('waits for the partitions, and takes back a topic that cannot be put on disk', async () => {
    const log = new MemoryMetadataLog();
    const events: string[] = [];
    const { metadata, topics } = await startBroker(log, {
      listener: {
        async partitionsCreated({ name }, partitions) {
          await Promise.resolve();
          events.push(`created ${name} ${partitions.map(({ index }) => index)}`);
          if (name === 'bad') throw new Error('EIO');
        },
        async topicDeleted({ name }) {
          events.push(`deleted ${name}`);
        },
      },
    });
    const outcomes = await topics.createTopics([newTopic('good', 2), newTopic('bad')]);
    assert.equal(outcomes[0]?.error, null);
    assert.equal(outcomes[1]?.error?.code, ErrorCode.KAFKA_STORAGE_ERROR);
    assert.equal(metadata.topicByName('bad'), undefined);
    await topics.createPartitions([{ name: 'good', count: 4, assignments: null }], false);
    assert.deepEqual(events, ['created good 0,1', 'created bad 0', 'deleted bad', 'created good 2,3']);
    const restarted = await startBroker(log);
    assert.deepEqual(
      [...restarted.metadata.topics()].map(({ name }) => name),
      ['good'],
    );
  });

  it('tells of partitions that are added also when some of them cannot be put on disk', async () => {
    const told: string[] = [];
    const { metadata, topics } = await startBroker(new MemoryMetadataLog(), {
      listener: {
        async partitionsCreated(_, partitions) {
          if (partitions.some(({ index }) => index === 2)) throw new Error('EIO');
        },
      },
    });
    metadata.addListener({
      async partitionsCreated({ name, partitions }) {
        told.push(`${name} ${partitions.length}`);
      },
    });
    await topics.createTopics([newTopic('grows', 2)]);
    const added = [{ name: 'grows', count: 4, assignments: null }];
    const [outcome] = await topics.createPartitions(added, false);
    assert.equal(outcome?.error?.code, ErrorCode.KAFKA_STORAGE_ERROR);
    assert.deepEqual(told, ['grows 2', 'grows 4']);
  });

  it('finishes the change that is running when it closes, and refuses the rest', async () => {
    const log = new MemoryMetadataLog();
    const { metadata, topics } = await startBroker(log);
    const running = topics.createTopics([newTopic('a')]);
    await Promise.resolve();
    await Promise.resolve();
    const waiting = topics.createTopics([newTopic('b')]);
    const refused = assert.rejects(waiting, { code: ErrorCode.BROKER_NOT_AVAILABLE });
    await metadata.close();
    assert.equal((await running)[0]?.error, null);
    await refused;
    const length = log.values.length;
    await assert.rejects(metadata.allocateProducerIds());
    assert.equal(log.values.length, length);
  });

  it('names a topic to nobody who needs it before its partitions serve', async () => {
    let serve = () => {};
    const served = new Promise<void>((resolve) => {
      serve = resolve;
    });
    const { metadata, topics } = await startBroker(new MemoryMetadataLog(), {
      listener: { partitionsCreated: () => served },
    });
    const order: string[] = [];
    const first = topics.ensureTopic('a').then(() => order.push('first'));
    while (metadata.topicByName('a') === undefined) await Promise.resolve();
    const second = topics.ensureTopic('a').then(() => order.push('second'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(order, []);
    serve();
    await Promise.all([first, second]);
    assert.deepEqual(order.sort(), ['first', 'second']);
  });

  it('goes on with the other topics when one can neither be put on disk nor taken back', async () => {
    const log = new MemoryMetadataLog();
    const opened: string[] = [];
    const { metadata, topics } = await startBroker(log, {
      listener: {
        async partitionsCreated({ name }) {
          opened.push(name);
          if (name !== 'bad') return;
          log.failure = new Error('ENOSPC');
          throw new Error('ENOSPC');
        },
      },
    });
    const outcomes = await topics.createTopics([newTopic('bad'), newTopic('good')]);
    assert.deepEqual(
      outcomes.map(({ name, error }) => [name, error?.code ?? 0]),
      [
        ['bad', ErrorCode.KAFKA_STORAGE_ERROR],
        ['good', 0],
      ],
    );
    assert.deepEqual(opened, ['bad', 'good']);
    await metadata.whenOpen('bad');
  });

  it('creates internal topics with their own settings, once', async () => {
    const { metadata, topics } = await startBroker(new MemoryMetadataLog());
    const [first, second] = await Promise.all([
      topics.ensureTopic('__consumer_offsets'),
      topics.ensureTopic('__consumer_offsets'),
    ]);
    assert.equal(first.id, second.id);
    assert.equal(first.partitions.length, 8);
    const config = metadata.topicConfig('__consumer_offsets');
    assert.deepEqual(config.get('cleanup.policy'), ['compact']);
    assert.equal(config.get('payload.min.bytes'), -1);
    const [outcome] = await topics.deleteTopics(() => [first.id]);
    assert.equal(outcome?.error?.code, ErrorCode.INVALID_REQUEST);
  });

  it('takes over a log that Apache Kafka wrote: features that are not served go, replicas come back', async () => {
    const log = new MemoryMetadataLog();
    const id = randomUuid();
    const partition = {
      topicId: id,
      partitionId: 0,
      replicas: [1],
      isr: [],
      leader: -1,
      leaderEpoch: 4,
      partitionEpoch: 9,
      eligibleLeaderReplicas: [1],
    };
    await log.append(
      [
        metadataRecord('featureLevel', { name: 'eligible.leader.replicas.version', featureLevel: 1 }),
        metadataRecord('featureLevel', { name: 'metadata.version', featureLevel: 30 }),
        metadataRecord('topic', { name: 'orders', topicId: id }),
        metadataRecord('partition', partition),
      ].map(encodeMetadataRecord),
    );
    const { metadata } = await startBroker(log);
    assert.deepEqual(Object.fromEntries(metadata.finalizedFeatures), {
      'group.version': 1,
      'metadata.version': 30,
      'share.version': 1,
      'streams.version': 1,
      'transaction.version': 2,
    });
    const [orders] = metadata.topicByName('orders')!.partitions;
    assert.deepEqual([orders?.isr, orders?.leader, orders?.leaderEpoch], [[1], 1, 5]);
    assert.equal(orders?.hasEligibleLeaders, false);
  });

  it('stops at a record that it cannot read, and says which', async () => {
    const log = new MemoryMetadataLog();
    await startBroker(log);
    log.values.push(Uint8Array.of(1, 2, 0, 0xff));
    await assert.rejects(startBroker(log), /record \d+ of the cluster metadata cannot be used/);
  });
});

describe('randomUuid', () => {
  it('avoids the reserved ids and a leading dash', () => {
    const answers = [new Uint8Array(16).fill(0xf8), new Uint8Array(16).fill(7)];
    const id = randomUuid(() => answers.shift()!);
    assert.match(id, /^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
    assert.notEqual(id, ZERO_UUID);
    assert.notEqual(id, METADATA_TOPIC_ID);
    assert.equal(answers.length, 0);
  });
});
