import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ErrorCode } from '../../src/protocol/errors.ts';
import {
  createCreatableTopic,
  createCreatableTopicConfig,
  createTopicsRequest,
} from '../../src/protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../../src/protocol/generated/create-topics-response.ts';
import {
  createFetchPartition,
  createFetchTopic,
  fetchRequest,
} from '../../src/protocol/generated/fetch-request.ts';
import { fetchResponse } from '../../src/protocol/generated/fetch-response.ts';
import {
  createPartitionProduceData,
  createTopicProduceData,
  produceRequest,
} from '../../src/protocol/generated/produce-request.ts';
import { produceResponse } from '../../src/protocol/generated/produce-response.ts';
import { splitBatches } from '../../src/protocol/records/batch-header.ts';
import { buildBatch } from '../../src/protocol/records/builder.ts';
import { readRecords } from '../../src/protocol/records/reader.ts';
import { type Broker, makeGateway, targetIsKafka } from '../harness/broker.ts';
import { FailingDisk } from '../harness/failing-disk.ts';
import { WireClient } from '../harness/wire-client.ts';
import { partitionDirs } from './on-disk.ts';

const TOPIC = 'spread';
const PARTITIONS = 6;

/** One of two data directories is on a disk that begins to fail, while the gateway runs, and works again later. */
describe('a disk that fails under a running gateway', () => {
  if (targetIsKafka) return;
  let dir: string;
  let directories: string[];
  let disk: FailingDisk;
  let broker: Broker;
  let wire: WireClient;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-failing-'));
    directories = [join(dir, 'a'), join(dir, 'b')];
    disk = new FailingDisk(dir);
    const overrides = { 'log.dirs': directories.join(',') };
    broker = await makeGateway({ dir, overrides, environment: disk.environment });
    await start();
  });

  afterEach(async () => {
    wire?.close();
    await broker?.stop();
    rmSync(dir, { recursive: true });
  });

  async function start(): Promise<void> {
    await broker.start();
    wire = await WireClient.connect(broker.bootstrap);
  }

  async function createTopic(payloadMinBytes: string): Promise<void> {
    const configs = [createCreatableTopicConfig({ name: 'payload.min.bytes', value: payloadMinBytes })];
    const topics = [
      createCreatableTopic({ name: TOPIC, numPartitions: PARTITIONS, replicationFactor: 1, configs }),
    ];
    await wire.call([createTopicsRequest, createTopicsResponse], 5, { topics, timeoutMs: 10_000 });
  }

  /** The answer's error code. */
  async function produce(index: number, text: string): Promise<number> {
    const records = buildBatch([{ key: null, value: Buffer.from(text) }], { timestamp: BigInt(Date.now()) });
    const partitionData = [createPartitionProduceData({ index, records })];
    const topicData = [createTopicProduceData({ name: TOPIC, partitionData })];
    const request = { acks: -1, timeoutMs: 10_000, topicData };
    const answer = await wire.call([produceRequest, produceResponse], 9, request);
    return answer.responses[0]!.partitionResponses[0]!.errorCode;
  }

  async function read(partition: number): Promise<string[]> {
    const partitions = [createFetchPartition({ partition, partitionMaxBytes: 1 << 20 })];
    const request = { maxBytes: 1 << 20, topics: [createFetchTopic({ topic: TOPIC, partitions })] };
    const answer = await wire.call([fetchRequest, fetchResponse], 12, request);
    const { records } = answer.responses[0]!.partitions[0]!;
    return splitBatches(records as Uint8Array)
      .flatMap(({ bytes }) => readRecords(bytes))
      .map(({ value }) => Buffer.from(value!).toString());
  }

  const faults = [
    { call: 'fdatasync', code: 'EIO', of: 'log' },
    { call: 'fdatasync', code: 'ENOSPC', of: 'log' },
    { call: 'pwritev', code: 'EIO', of: 'log' },
    { call: 'fdatasync', code: 'EIO', of: 'payload' },
    { call: 'fdatasync', code: 'ENOSPC', of: 'payload' },
  ] as const;
  for (const { call, code, of } of faults)
    it(`after ${code} of ${call} of ${of} its directory refuses records until the next start, and the other serves`, async () => {
      await createTopic(of === 'log' ? '-1' : '0');
      const kept = directories.find((one) => existsSync(join(one, '__cluster_metadata-0')))!;
      const broken = directories.find((one) => one !== kept)!;
      const partitionsOf = (directory: string) =>
        partitionDirs(directory, TOPIC).map((path) => Number(path.at(-1)));
      const [here, there] = [partitionsOf(kept), partitionsOf(broken)];
      assert.ok(here.length > 0 && there.length > 1);
      for (const index of [...here, ...there]) assert.equal(await produce(index, 'before'), 0);

      const payload = join(partitionDirs(broken, TOPIC)[0]!, 'payload');
      disk.fail(call, code, of === 'log' ? broken : payload);
      assert.equal(await produce(there[0]!, 'failed'), ErrorCode.KAFKA_STORAGE_ERROR);
      disk.heal();
      for (const index of there)
        assert.equal(await produce(index, 'after'), ErrorCode.KAFKA_STORAGE_ERROR, `partition ${index}`);
      for (const index of here) assert.equal(await produce(index, 'after'), 0);
      for (const index of here) assert.deepEqual(await read(index), ['before', 'after']);
      const reports = broker.logs().match(/.*a log directory is out of use.*/g) ?? [];
      assert.equal(reports.length, 1);
      assert.ok(reports[0]!.includes(broken), reports[0]!);

      wire.close();
      await broker.kill('SIGKILL');
      await start();
      for (const index of here) assert.deepEqual(await read(index), ['before', 'after']);
      for (const index of there) {
        assert.equal(await produce(index, 'again'), 0);
        // What was refused may be there.
        const texts = (await read(index)).filter((text) => text !== 'failed');
        assert.deepEqual(texts, ['before', 'again']);
      }
    });
});
