import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { randomUuid } from '../backend/log/checkpoint-files.ts';
import { loadConfig } from '../config/index.ts';
import { ErrorCode } from '../protocol/errors.ts';
import { createCreatableTopic } from '../protocol/generated/create-topics-request.ts';
import { buildBatch } from '../protocol/records/builder.ts';
import { readRecords } from '../protocol/records/reader.ts';
import { decodeSignedReference } from '../protocol/records/signed-reference.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { silentLogger } from '../util/logger.ts';
import { VirtualClock } from '../util/testing/virtual-clock.ts';
import { AlterOperation } from './configs/alteration.ts';
import { partitionOf } from './coordinator-shards.ts';
import { EmbeddedBroker } from './embedded-broker.ts';
import { ResourceType } from './metadata/state.ts';
import { gather } from './partitions/testing.ts';

describe('EmbeddedBroker', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-broker-'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  function open(...names: string[]): Promise<EmbeddedBroker> {
    return openWith(systemClock, ...names);
  }

  function openWith(clock: Clock, ...names: string[]): Promise<EmbeddedBroker> {
    const config = loadConfig({
      environment: {},
      overrides: [`log.dirs=${names.map((name) => join(dir, name)).join(',')}`],
      host: { isRoot: false, homeDirectory: dir },
    });
    const endpoints = [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }];
    return EmbeddedBroker.open({ config, clock, logger: silentLogger, endpoints });
  }

  async function withTopic(): Promise<void> {
    const broker = await open('a');
    await broker.topics.createTopics([
      createCreatableTopic({ name: 't', numPartitions: 2, replicationFactor: 1 }),
    ]);
    await broker.close();
  }

  it('opens again what it closed, with higher leader epochs', async () => {
    await withTopic();
    const broker = await open('a');
    assert.equal(broker.partitions.find('t', 1)?.leaderEpoch, 1);
    await broker.close();
    assert.ok(existsSync(join(dir, 'a', '.kafka_cleanshutdown')));
  });

  it('serves partitions as the settings say that were altered before it was stopped', async () => {
    const altered = { name: 'log.durability', operation: AlterOperation.SET, value: 'os' };
    const flushes = (broker: EmbeddedBroker) => broker.partitions.find('t', 0)?.config.flushBeforeAck;
    await withTopic();
    let broker = await open('a');
    assert.equal(flushes(broker), true);
    const resource = { type: ResourceType.BROKER, name: '', alterations: [altered] };
    assert.deepEqual(await broker.configs.incrementalAlter([resource], false), [null]);
    assert.equal(flushes(broker), false);
    await broker.close();
    broker = await open('a');
    assert.equal(flushes(broker), false);
    await broker.close();
  });

  it('closes its logs in order also when another part cannot be closed', async () => {
    const broker = await open('a');
    broker.direct.close = () => Promise.reject(new Error('it cannot be closed'));
    await assert.rejects(broker.close(), /it cannot be closed/);
    assert.ok(existsSync(join(dir, 'a', '.kafka_cleanshutdown')));
    await withTopic();
  });

  it('makes its only topic anew when a kill came between the deletion of that and of its files', async () => {
    await withTopic();
    const [place, left] = [join(dir, 'a', 't-1'), join(dir, 'left')];
    cpSync(place, left, { recursive: true });
    const before = await open('a');
    const { id } = before.metadata.topicByName('t')!;
    await before.topics.deleteTopics(() => [id]);
    await before.close();
    renameSync(left, place);
    const broker = await open('a');
    const [created] = await broker.topics.createTopics([
      createCreatableTopic({ name: 't', numPartitions: 2, replicationFactor: 1 }),
    ]);
    assert.equal(created!.error, null);
    assert.equal(broker.partitions.find('t', 1)?.topicId, broker.metadata.topicByName('t')!.id);
    await broker.close();
  });

  it('coordinates what is in an internal topic as soon as a client has created it', async () => {
    const broker = await open('a');
    const names = ['__consumer_offsets', '__transaction_state', '__share_group_state'];
    assert.equal(broker.groups.shardOf('g'), ErrorCode.NOT_COORDINATOR);
    await broker.topics.createTopics(
      names.map((name) => createCreatableTopic({ name, numPartitions: 3, replicationFactor: 1 })),
    );
    assert.deepEqual(
      broker.groups.shards.map(({ unavailable }) => unavailable),
      [ErrorCode.NONE, ErrorCode.NONE, ErrorCode.NONE],
    );
    assert.equal(broker.transactions.shards.length, 3);
    const key = { groupId: 'g', topicId: randomUuid(), partition: 0 };
    await broker.sharing.states.initialize(key, 0, 0n);
    assert.equal(broker.sharing.states.size, 1);
    await broker.close();
  });

  it('answers direct fetches of what of a topic is still there while it is deleted', async () => {
    const broker = await open('a');
    const configs = [{ name: 'payload.min.bytes', value: '2000' }];
    await broker.topics.createTopics([
      createCreatableTopic({ name: 't', numPartitions: 2, replicationFactor: 1, configs }),
    ]);
    // In the order in which they are closed.
    const partitions = [...broker.partitions.all()].filter(({ topic }) => topic === 't');
    const { id } = broker.metadata.topicByName('t')!;
    const value = Buffer.alloc(5000, 1);
    await partitions[1]!.produce(buildBatch([{ key: null, value, timestamp: 1n }]), null, true);
    const targets = partitions.map((partition) => {
      const offsets = { currentLeaderEpoch: -1, fetchOffset: 0n, lastFetchedEpoch: -1, logStartOffset: -1n };
      const request = { topic: 't', partition: partition.index, maxBytes: 1 << 20, ...offsets };
      return { request, partition, errorCode: ErrorCode.NONE };
    });
    // It waits for more, until the first partition is closed; the second is closed later.
    const fetched = broker.fetches.fetch(targets, {
      ...{ minBytes: 1 << 20, maxBytes: 1 << 20, maxWaitMs: 60_000, isolation: 'read_uncommitted' },
      signReferences: broker.direct.signing('User:ANONYMOUS'),
      onClosed: () => () => undefined,
    });
    const deleted = broker.topics.deleteTopics(() => [id]);
    const results = await fetched;
    assert.deepEqual(
      results.map(({ errorCode }) => errorCode),
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NONE],
    );
    const [record] = readRecords(await gather(results[1]!.records));
    assert.equal(decodeSignedReference(record!.value!).claim.topicId, id);
    await deleted;
    await broker.close();
  });

  describe('with coordinators in a log directory that fails', () => {
    const producer = (transactionalId: string) => ({ transactionalId, timeoutMs: 60_000, expected: null });
    let broker: EmbeddedBroker;
    let ids: string[];
    let given: bigint[];

    /** Ids whose coordinators are in the directories a and b. */
    beforeEach(async () => {
      broker = await open('a', 'b');
      await broker.transactions.find('any');
      const { length } = broker.transactions.shards;
      ids = ['a', 'b'].map((name) => {
        const isThere = (id: string) =>
          broker.logs
            .get('__transaction_state', partitionOf(id, length))!
            .directory.startsWith(join(dir, `${name}/`));
        return Array.from({ length: 1000 }, (_, i) => `id-${i}`).find(isThere)!;
      });
      given = await identify();
    });

    /** The producer ids, or the errors, that they get. */
    async function identify(): Promise<bigint[]> {
      const found: bigint[] = [];
      for (const id of ids) {
        const identified = await broker.transactions.initProducer(producer(id));
        found.push('producerId' in identified ? identified.producerId : BigInt(-identified.errorCode));
      }
      return found;
    }

    async function assertOffline(): Promise<void> {
      const found = [];
      for (const id of ids) found.push(await broker.transactions.find(id));
      assert.deepEqual(found, [ErrorCode.NONE, ErrorCode.COORDINATOR_NOT_AVAILABLE]);
      const { length } = broker.transactions.shards;
      const isOffline = (partition: number) => broker.partitions.isOffline('__transaction_state', partition);
      assert.deepEqual(
        ids.map((id) => isOffline(partitionOf(id, length))),
        [false, true],
      );
      // One that is still to be made.
      assert.equal(isOffline(length), false);
      assert.deepEqual(await identify(), [given[0]!, BigInt(-ErrorCode.NOT_COORDINATOR)]);
    }

    async function openLoaded(): Promise<void> {
      broker = await open('a', 'b');
      const isLoading = () =>
        broker.transactions.shards.some(
          ({ unavailable }) => unavailable === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        );
      while (isLoading()) await setTimeout(5);
    }

    async function assertBack(): Promise<void> {
      await broker.close();
      await openLoaded();
      assert.deepEqual(await identify(), given);
      await broker.close();
    }

    it('serves what is elsewhere, and the rest after the next start', async () => {
      assert.notEqual(given[0], given[1]);
      broker.logs.directories[1]!.fail(new Error('EIO'));
      await assertOffline();
      await assertBack();
    });

    for (const isMounted of [true, false])
      it(`does so too when the directory ${isMounted ? 'cannot be used' : 'is not mounted'} at the start`, async () => {
        await broker.close();
        renameSync(join(dir, 'b'), join(dir, 'kept'));
        if (isMounted) writeFileSync(join(dir, 'b'), 'a file, not a directory');
        await openLoaded();
        await assertOffline();
        rmSync(join(dir, 'b'), { recursive: true });
        renameSync(join(dir, 'kept'), join(dir, 'b'));
        await assertBack();
      });
  });

  it('leaves no timer when it cannot be opened', async () => {
    await withTopic();
    const clock = new VirtualClock(Date.now());
    const cleanerBackoffMs = 15_000;
    const failing: Clock = {
      now: () => clock.now(),
      setTimer: (delayMs, action) => {
        if (delayMs === cleanerBackoffMs) throw new Error('no more timers');
        return clock.setTimer(delayMs, action);
      },
    };
    await assert.rejects(openWith(failing, 'a'), /no more timers/);
    assert.equal(clock.pending, 0);
    await (await open('a')).close();
  });

  it('refuses to start without the metadata that its logs belong to', async () => {
    await withTopic();
    renameSync(join(dir, 'a/__cluster_metadata-0'), join(dir, 'elsewhere'));
    await assert.rejects(
      open('a'),
      /__cluster_metadata-0, is in none of log.dirs, but there are logs of topics, such as t-/,
    );
    renameSync(join(dir, 'elsewhere'), join(dir, 'a/__cluster_metadata-0'));
    await (await open('a')).close();
  });

  it('does not call directories closed that a crash has left, when it cannot start', async () => {
    await withTopic();
    const marker = join(dir, 'a', '.kafka_cleanshutdown');
    renameSync(join(dir, 'a/__cluster_metadata-0'), join(dir, 'elsewhere'));
    for (const isThere of [true, false]) {
      if (!isThere) rmSync(marker);
      await assert.rejects(open('a'), /__cluster_metadata-0, is in none of log.dirs/);
      assert.equal(existsSync(marker), isThere);
    }
    renameSync(join(dir, 'elsewhere'), join(dir, 'a/__cluster_metadata-0'));
    await (await open('a')).close();
    assert.ok(existsSync(marker));
  });

  it('refuses to start a new cluster while a directory that may hold the metadata cannot be used', async () => {
    writeFileSync(join(dir, 'broken'), 'a file, not a directory');
    await assert.rejects(open('fresh', 'broken'), /broken cannot be used and may hold it/);
  });
});
