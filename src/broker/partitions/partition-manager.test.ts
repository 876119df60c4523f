import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { PayloadFile, PayloadFiles } from '../../backend/payload/ports.ts';
import { StoreError } from '../../backend/payload/stores/messages.ts';
import { loadConfig } from '../../config/index.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { silentLogger } from '../../util/logger.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { PartitionManager } from './partition-manager.ts';
import { TestBroker, topicConfig } from './testing.ts';

const CONFIG = topicConfig({ 'payload.min.bytes': '1000' });

function topic(name: string, id: string, partitions = 1, leaderEpoch = 0) {
  return { name, id, partitions: Array.from({ length: partitions }, (_, index) => ({ index, leaderEpoch })) };
}
const A = topic('a', 'AAAAAAAAAAAAAAAAAAAABQ', 3);
const B = topic('b', 'AAAAAAAAAAAAAAAAAAAABg');

function batch(bytes = 5000): Uint8Array {
  return buildBatch([{ key: null, value: Buffer.alloc(bytes) }], { timestamp: BigInt(Date.now()) });
}

describe('PartitionManager', () => {
  let directory: string;
  let broker: TestBroker;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'manager-'));
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  it('finds partitions by name and by id, and says why not', async () => {
    broker = await TestBroker.start(directory, [A], CONFIG);
    const { partitions } = broker;
    assert.equal(partitions.find('a', 2), partitions.findById(A.id, 2));
    assert.notEqual(partitions.find('a', 2), null);
    assert.equal(partitions.find('a', 3), null);
    assert.equal(partitions.errorOfMissing('a', 3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal(partitions.errorOfMissingById(B.id, 0), ErrorCode.UNKNOWN_TOPIC_ID);
    const opening = partitions.partitionsCreated(A, [{ index: 3, leaderEpoch: 7 }], CONFIG);
    assert.equal(partitions.errorOfMissing('a', 3), ErrorCode.NOT_LEADER_OR_FOLLOWER, 'it is not yet there');
    assert.equal(partitions.errorOfMissing('a', 4), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    await opening;
    assert.equal(partitions.find('a', 3)?.leaderEpoch, 7);
    assert.equal([...partitions.all()].length, 4);
    const made = partitions.partitionsCreated(B, B.partitions, CONFIG);
    assert.equal(partitions.errorOfMissingById(B.id, 0), ErrorCode.NOT_LEADER_OR_FOLLOWER);
    await made;
    assert.equal(partitions.findById(B.id, 0)?.topic, 'b');
  });

  it('serves what could be made of partitions that are added, and says that the others are offline', async () => {
    broker = await TestBroker.start(directory, [A], CONFIG);
    const { logs, partitions } = broker;
    const create = logs.create.bind(logs);
    const failure = new Error('the disk is full');
    logs.create = (name, index, options) =>
      index === 4 ? Promise.reject(failure) : create(name, index, options);
    const added = [3, 4].map((index) => ({ index, leaderEpoch: 0 }));
    await assert.rejects(partitions.partitionsCreated(A, added, CONFIG), failure);
    await partitions.find('a', 3)!.produce(batch(), null, true);
    assert.equal(partitions.errorOfMissing('a', 4), ErrorCode.KAFKA_STORAGE_ERROR);
    await partitions.topicDeleted({ ...A, partitions: [...A.partitions, ...added] });
    assert.equal(partitions.errorOfMissing('a', 4), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.ok(!existsSync(join(directory, 'a-3')));
  });

  it('deletes a topic with its payload and ends what waits for it', async () => {
    broker = await TestBroker.start(directory, [A, B], CONFIG);
    await broker.partitions.find('b', 0)!.produce(batch(), null, true);
    const waiting = broker.fetch('b', 0, 1n, { maxWaitMs: 10_000 });
    await broker.partitions.topicDeleted(B);
    assert.equal((await waiting).result.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal(broker.partitions.find('b', 0), null);
    assert.ok(!existsSync(join(directory, 'b-0')));
    await broker.partitions.topicDeleted({ ...A, id: B.id });
    assert.notEqual(broker.partitions.find('a', 0), null, 'another topic of that name');
  });

  it('deletes what it can of a topic when a partition of it cannot be deleted', async () => {
    const many = topic('c', 'AAAAAAAAAAAAAAAAAAAABw', 40);
    broker = await TestBroker.start(directory, [many], CONFIG);
    const { logs } = broker;
    const remove = logs.delete.bind(logs);
    const failure = new Error('its disk has failed');
    logs.delete = (name, index) => (index === 0 ? Promise.reject(failure) : remove(name, index));
    await assert.rejects(broker.partitions.topicDeleted(many), failure);
    assert.deepEqual(
      readdirSync(directory).filter((name) => /^c-\d+$/.test(name)),
      ['c-0'],
    );
  });

  it('removes at the start what a crash left of deleted topics', async () => {
    broker = await TestBroker.start(directory, [A, B], CONFIG);
    await broker.partitions.find('b', 0)!.produce(batch(), null, true);
    await broker.crash();
    const again = topic('a', 'AAAAAAAAAAAAAAAAAAAACA', 3, 5);
    broker = await TestBroker.start(directory, [again], CONFIG);
    assert.deepEqual(
      readdirSync(directory).filter((name) => /^[ab]-\d$/.test(name)),
      ['a-0', 'a-1', 'a-2'],
    );
    assert.equal(broker.partitions.find('a', 0)?.log.topicId, again.id);
  });

  it('starts although a log of a deleted topic cannot be removed, and serves the others', async () => {
    broker = await TestBroker.start(directory, [A, B], CONFIG);
    await broker.stop();
    const again = topic('a', 'AAAAAAAAAAAAAAAAAAAACA', 3, 5);
    const left = join(directory, 'a-1');
    broker = await TestBroker.start(directory, [again, B], CONFIG, undefined, {
      faulty: (files) => ({
        ...files,
        rename: async (from, to) => {
          if (from === left) throw Object.assign(new Error('fault'), { code: 'ENOSPC' });
          await files.rename(from, to);
        },
      }),
    });
    assert.notEqual(broker.partitions.find('b', 0), null);
    assert.equal(broker.partitions.errorOfMissing('a', 1), ErrorCode.KAFKA_STORAGE_ERROR);
    assert.equal(broker.partitions.find('a', 0)?.log.topicId, again.id);
  });

  it('has a topic that was made anew while a directory was away, and removes what that has of the one before', async () => {
    const [a, b] = ['a', 'b'].map((name) => join(directory, name)) as [string, string];
    const start = (topics: (typeof A)[]) =>
      TestBroker.start(a, topics, CONFIG, undefined, { otherDirectories: [b] });
    broker = await start([A]);
    await broker.stop();
    assert.ok(readdirSync(b).some((name) => name.startsWith('a-')));
    renameSync(b, join(directory, 'unmounted'));
    const again = topic('a', 'AAAAAAAAAAAAAAAAAAAACA', 3, 5);
    broker = await start([B]);
    await broker.partitions.partitionsCreated(again, again.partitions, CONFIG);
    for (const { index } of again.partitions)
      await broker.partitions.find('a', index)!.produce(batch(), null, true);
    await broker.stop();
    rmSync(b, { recursive: true });
    renameSync(join(directory, 'unmounted'), b);
    broker = await start([again]);
    for (const { index } of again.partitions) {
      assert.equal(broker.partitions.find('a', index)?.log.topicId, again.id);
      assert.equal(broker.partitions.find('a', index)?.highWatermark, 1n);
    }
    assert.deepEqual(
      readdirSync(b).filter((name) => /^a-\d$/.test(name)),
      [],
    );
  });

  it('keeps a log from before topic ids, which gets that of its topic', async () => {
    mkdirSync(join(directory, 'b-0'));
    broker = await TestBroker.start(directory, [A], CONFIG);
    await broker.partitions.partitionsCreated(B, B.partitions, CONFIG);
    const produce = () => broker.partitions.find('b', 0)!.produce(batch(), null, true);
    await produce();
    await broker.stop();
    broker = await TestBroker.start(directory, [A, B], CONFIG);
    assert.equal(broker.partitions.find('b', 0)?.log.topicId, B.id);
    assert.equal(broker.partitions.find('b', 0)?.highWatermark, 1n);
    rmSync(join(directory, 'b-0', 'partition.metadata'));
    await broker.stop();
    broker = await TestBroker.start(directory, [A, B], CONFIG);
    assert.equal(broker.partitions.find('b', 0)?.highWatermark, 1n);
    assert.ok(existsSync(join(directory, 'b-0', 'partition.metadata')));
  });

  it('has nothing read or deleted in a directory that has failed, of which nobody is the leader', async () => {
    broker = await TestBroker.start(directory, [B], CONFIG);
    const partition = broker.partitions.find('b', 0)!;
    await partition.produce(batch(), null, true);
    broker.logs.directories[0]!.fail(new Error('the disk has failed'));
    const { result } = await broker.fetch('b', 0, 0n);
    assert.equal(result.errorCode, ErrorCode.KAFKA_STORAGE_ERROR);
    await assert.rejects(partition.deleteRecordsBefore(1n), { code: ErrorCode.KAFKA_STORAGE_ERROR });
    assert.equal(partition.logStartOffset, 0n);
  });

  it('applies changed settings', async () => {
    broker = await TestBroker.start(directory, [A], CONFIG);
    broker.partitions.topicConfigChanged(
      A,
      topicConfig({ 'max.message.bytes': '100', 'segment.bytes': '2000000' }),
    );
    const partition = broker.partitions.find('a', 1)!;
    assert.equal(partition.log.config.segmentBytes, 2_000_000);
    await assert.rejects(async () => partition.produce(batch(), null, true), {
      code: ErrorCode.MESSAGE_TOO_LARGE,
    });
  });

  it('has a partition that is opened later follow what was changed while its payload was looked at', async () => {
    broker = await TestBroker.start(directory, [B], CONFIG);
    await broker.partitions.find('b', 0)!.produce(batch(), null, true);
    await broker.crash();
    broker = await TestBroker.start(directory, [], CONFIG);
    const { logs, tiers, store } = broker;
    let reads = 0;
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const files: PayloadFiles = {
      open: async (path, options) => {
        const file: PayloadFile = await store.open(path, options);
        const readRanges = file.readRanges.bind(file);
        file.readRanges = async (ranges) => {
          if (reads++ === 0) return [new StoreError('EAGAIN', 'its store is away')];
          await answered;
          return readRanges(ranges);
        };
        return file;
      },
      punch: (path, ranges) => store.punch(path, ranges),
      remove: (path) => store.remove(path),
    };
    const clock = new VirtualClock();
    const host = { isRoot: false, homeDirectory: '/nowhere' };
    const brokerConfig = loadConfig({ environment: {}, host, overrides: ['log.dirs=/nowhere'] });
    const partitions = new PartitionManager({
      ...{ logs, tiers, files, stores: null, clock },
      config: brokerConfig,
      logger: silentLogger,
    });
    let config = CONFIG;
    await partitions.open([B], () => config);
    assert.equal(partitions.errorOfMissing('b', 0), ErrorCode.KAFKA_STORAGE_ERROR);
    clock.tick(500);
    while (reads < 2) await setImmediate();
    config = topicConfig({ 'segment.bytes': '2000000' });
    partitions.topicConfigChanged(B, config);
    answer();
    while (partitions.find('b', 0) === null) await setImmediate();
    assert.equal(partitions.find('b', 0)!.log.config.segmentBytes, 2_000_000);
    await partitions.close();
  });

  it('serves the others when one partition cannot be opened', async () => {
    writeFileSync(join(directory, 'a-1'), 'in the way');
    broker = await TestBroker.start(directory, [A], CONFIG);
    assert.equal(broker.partitions.errorOfMissing('a', 1), ErrorCode.KAFKA_STORAGE_ERROR);
    assert.notEqual(broker.partitions.find('a', 2), null);
    await broker.partitions.topicDeleted(A);
    assert.equal(broker.partitions.errorOfMissing('a', 1), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  });
});
