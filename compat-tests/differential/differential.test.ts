import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiKey, type ApiKeyName, apiName } from '../../src/protocol/api-keys.ts';
import { type Broker, makeGateway, makeKafka } from '../harness/broker.ts';
import { sleep } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import type { Case, Chapter } from './case.ts';
import { type Difference, differences, Names, normalized } from './compare.ts';
import { NOT_SERVED } from './not-served.ts';
import { chapters, chaptersOfDirectories } from './script/index.ts';
import { Side } from './side.ts';

/** What both brokers are told, so that they answer alike. */
const overrides = {
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.num.partitions': '4',
  'share.coordinator.state.topic.num.partitions': '4',
  'message.max.bytes': '1048588',
  'group.streams.initial.rebalance.delay.ms': '0',
  'group.streams.assignment.interval.ms': '0',
  // The records of the script are years old: retention is not to find them.
  'log.initial.task.delay.ms': '3600000',
};
const CLUSTER_ID = 'AAAAAAAAAAAAAAAAAAAAAQ';

/** APIs that change what others answer: Kafka's broker learns of a change some time after it is acknowledged. */
const CHANGES: readonly ApiKeyName[] = [
  'CreateTopics',
  'DeleteTopics',
  'CreatePartitions',
  'AlterConfigs',
  'IncrementalAlterConfigs',
  'AlterClientQuotas',
  'UpdateFeatures',
  'EndTxn',
];
const SETTLE_MS = 120;
const SETTLE_LOOKS = 100;
const DIRECTORIES = 3;
/** Calls that change nothing: asked again while the answers differ, since Kafka's broker may not have learned of a change. */
const READS: readonly ApiKeyName[] = [
  'Metadata',
  'Fetch',
  'ListOffsets',
  'FindCoordinator',
  'OffsetFetch',
  'OffsetForLeaderEpoch',
  'AddOffsetsToTxn',
  'OffsetCommit',
  'ShareGroupDescribe',
  'DescribeShareGroupOffsets',
];
const ATTEMPTS = 8;

describe('the same calls to Apache Kafka and to Kafabric', () => compareAll(chapters, 1));
describe('the same calls to both with three data directories', () =>
  compareAll(chaptersOfDirectories, DIRECTORIES));

function compareAll(chapters: readonly Chapter[], directories: number): void {
  let root: string;
  let brokers: Broker[] = [];
  let kafka: Side;
  let kafabric: Side;
  const names = { kafka: new Names(), kafabric: new Names() };

  before(async function () {
    requireToolchain(this, 'java');
    root = mkdtempSync(join(tmpdir(), 'kafabric-differential-'));
    const dirsOf = (name: string) =>
      Array.from({ length: directories }, (_, i) => join(root, name, `data-${i}`));
    const optionsOf = (name: string, more: Record<string, string> = {}) => {
      mkdirSync(join(root, name));
      return {
        dir: join(root, name),
        overrides: { ...overrides, 'log.dirs': dirsOf(name).join(','), ...more },
      };
    };
    brokers = [
      await makeKafka(optionsOf('kafka')),
      await makeGateway(optionsOf('kafabric', { 'cluster.id': CLUSTER_ID, 'node.id': '1' })),
    ];
    await Promise.all(brokers.map((broker) => broker.start()));
    const [left, right] = brokers as [Broker, Broker];
    kafka = new Side('kafka', left.bootstrap, dirsOf('kafka'));
    kafabric = new Side('kafabric', right.bootstrap, dirsOf('kafabric'));
    await Promise.all([kafka.open(), kafabric.open()]);
  });

  after(async () => {
    kafka?.close();
    kafabric?.close();
    await Promise.all(brokers.map((broker) => broker.stop()));
    if (root) rmSync(root, { recursive: true, force: true });
  });

  it('announce the same APIs in the same versions, but for those that are written down', () => {
    const announced = (side: Side, except: readonly string[]) =>
      [...side.versions]
        .sort(([a], [b]) => a - b)
        .filter(([key]) => !except.includes(apiName(key)!))
        .map(([key, { min, max }]) => `${apiName(key)} ${min}-${max}`);
    assert.deepEqual(announced(kafabric, []), announced(kafka, NOT_SERVED));
  });

  for (const { title, cases } of chapters) {
    describe(title, () => {
      for (const test of cases) it(test.name, () => run(test));
    });
  }

  async function run(test: Case): Promise<void> {
    const problems: string[] = [];
    let calls = 0;
    let attempts = READS.includes(test.api) || /^(Describe|List)/.test(test.api) ? ATTEMPTS : 1;
    await Promise.all([kafka.learnTopics(), kafabric.learnTopics()]);
    for (const version of versionsOf(test)) {
      const [toKafka, toKafabric] = [kafka.requestOf(test, version), kafabric.requestOf(test, version)];
      if (toKafka === null || toKafabric === null) continue;
      calls++;
      const found = await compare(test, version, attempts, toKafka, toKafabric);
      // One version had the patience that it takes.
      if (found.length > 0) attempts = 1;
      for (const { path, kafka: expected, kafabric: actual } of found)
        problems.push(`version ${version}, ${path}: Kafka ${expected}, Kafabric ${actual}`);
    }
    if (CHANGES.includes(test.api)) await settled();
    if (test.differs !== undefined) {
      assert.notDeepEqual(problems, [], `they no longer differ: ${test.differs}`);
      return;
    }
    assert.deepEqual(problems, [], `${test.name}\n${problems.join('\n')}`);
    assert.ok(calls > 0, 'no version carries this request');
  }

  /** Both know of the same topics; where they differ for good, what follows tells. */
  async function settled(): Promise<void> {
    for (let look = 0; look < SETTLE_LOOKS; look++) {
      await sleep(SETTLE_MS);
      const [left, right] = await Promise.all([kafka.learnTopics(), kafabric.learnTopics()]);
      if (left === right) return;
    }
  }

  async function compare(
    test: Case,
    version: number,
    attempts: number,
    toKafka: Record<string, unknown>,
    toKafabric: Record<string, unknown>,
  ): Promise<Difference[]> {
    let found: Difference[] = [];
    const except = test.except?.fields ?? [];
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (attempt > 0) await sleep(SETTLE_MS);
      const [left, right] = await Promise.all([
        kafka.ask(test, version, toKafka),
        kafabric.ask(test, version, toKafabric),
      ]);
      kafka.save(test.save ?? {}, version, left);
      kafabric.save(test.save ?? {}, version, right);
      found = differences(
        normalized(test.api, left, kafka, names.kafka, except),
        normalized(test.api, right, kafabric, names.kafabric, except),
      );
      if (found.length === 0) return [];
    }
    return found;
  }

  function versionsOf({ api, versions }: Case): number[] {
    if (versions !== undefined) return range(...versions);
    const [left, right] = [kafka.versions.get(ApiKey[api]), kafabric.versions.get(ApiKey[api])];
    assert.ok(left, `Kafka does not serve ${api}`);
    assert.ok(right, `Kafabric does not serve ${api}`);
    return range(Math.max(left.min, right.min), Math.min(left.max, right.max));
  }
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
