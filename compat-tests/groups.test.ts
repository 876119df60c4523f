import assert from 'node:assert/strict';
import { offsetFetchRequest } from '../src/protocol/generated/offset-fetch-request.ts';
import { offsetFetchResponse } from '../src/protocol/generated/offset-fetch-response.ts';
import { ZERO_UUID } from '../src/protocol/wire/types.ts';
import { type Broker, sharedBroker } from './harness/broker.ts';
import { sleep, until } from './harness/child.ts';
import {
  type Client,
  clientKinds,
  helperClient,
  requireClient,
  requireToolchain,
  sharedClient,
} from './harness/client.ts';
import { type PlannedRecord, recordOf } from './harness/payload.ts';
import { WireClient } from './harness/wire-client.ts';

const partitions = 4;
const OFFSET_FETCH_VERSION = 8;

/** A producer that keeps writing single records, round the partitions, until it is stopped. */
class SteadyProducer {
  readonly produced: number[] = new Array(partitions).fill(0);
  readonly #client: Client;
  readonly #topic: string;
  #running: Promise<void> | null = null;
  #stopping = false;

  constructor(client: Client, topic: string) {
    this.#client = client;
    this.#topic = topic;
  }

  async produce(partition: number): Promise<void> {
    const records = [0, 1, 2].map((i) => this.#record(partition, i));
    const args = { topic: this.#topic, partition, codec: 'none', acks: -1, records };
    await this.#client.call('produce', args);
    this.produced[partition]! += records.length;
  }

  /** Every fourth record is large enough to be diverted. */
  #record(partition: number, i: number): PlannedRecord {
    const seed = this.produced[partition]! + i;
    const size = seed % 4 === 0 ? 70_000 : 200;
    return recordOf(null, size, seed);
  }

  start(): void {
    this.#stopping = false;
    this.#running = (async () => {
      for (let i = 0; !this.#stopping; i++) {
        await this.produce(i % partitions);
        await sleep(10);
      }
    })();
    this.#running.catch(() => {}); // stop() reports it
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }
}

/** What the members of one group have consumed so far, offset by offset. */
class Consumed {
  readonly counts = Array.from({ length: partitions }, () => new Map<number, number>());

  add(records: [number, number][]): void {
    for (const [partition, offset] of records) {
      const counts = this.counts[partition]!;
      counts.set(offset, (counts.get(offset) ?? 0) + 1);
    }
  }

  /** Whether no more than `lost` of the records have not been seen. */
  covers(produced: number[], lost: number): boolean {
    const missing = this.counts.map((counts, partition) => produced[partition]! - counts.size);
    return missing.reduce((sum, one) => sum + one, 0) <= lost;
  }

  /** Offsets from `from` on that were not consumed exactly once. */
  notOnce(from: number[], to: number[]): string[] {
    const wrong: string[] = [];
    this.counts.forEach((counts, partition) => {
      for (let offset = from[partition]!; offset < to[partition]!; offset++) {
        const count = counts.get(offset) ?? 0;
        if (count !== 1) wrong.push(`${partition}:${offset} ${count} times`);
      }
    });
    return wrong;
  }
}

const cases = clientKinds.flatMap(
  (kind) =>
    ({
      java: ['range', 'cooperative-sticky', 'consumer-uniform', 'consumer-range'],
      'confluent-kafka-python': ['range', 'cooperative-sticky', 'consumer-uniform'],
      aiokafka: ['sticky'],
      'franz-go': ['sticky', 'cooperative-sticky'],
      'confluent-kafka-javascript': ['roundrobin', 'cooperative-sticky'],
      kcat: ['range'],
    })[kind.name]?.map((strategy) => ({ kind, strategy })) ?? [{ kind, strategy: 'roundrobin' }],
);

describe('groups', () => {
  let broker: Broker;
  const finished = new Map<string, { producer: SteadyProducer; consumed: Consumed }>();

  before(async () => {
    broker = await sharedBroker();
  });

  /** By partition. */
  async function committedOf(group: string, topic: string): Promise<Map<number, bigint>> {
    const partitionIndexes = Array.from({ length: partitions }, (_, partition) => partition);
    const topics = [{ name: topic, topicId: ZERO_UUID, partitionIndexes }];
    const asked = { groupId: group, memberId: null, memberEpoch: -1, topics };
    const codecs = [offsetFetchRequest, offsetFetchResponse] as const;
    const wire = await WireClient.connect(broker.bootstrap);
    try {
      const { groups } = await wire.call(codecs, OFFSET_FETCH_VERSION, { groups: [asked] });
      const found = groups[0]!.topics.flatMap((each) => each.partitions);
      return new Map(found.map(({ partitionIndex, committedOffset }) => [partitionIndex, committedOffset]));
    } finally {
      wire.close();
    }
  }

  async function collect(client: Client, members: string[], consumed: Consumed): Promise<void> {
    for (const member of members) consumed.add(await client.call('seen', { member }));
  }

  for (const { kind, strategy } of cases) {
    const name = `${kind.name} ${strategy}`;
    it(`${name}: members join and leave while records are produced`, async function () {
      requireToolchain(this, kind.setup);
      const client = sharedClient(kind, broker.bootstrap);
      const helper = helperClient(broker.bootstrap);
      const topic = `groups-${name.replace(' ', '-')}`;
      const group = topic;
      await helper.call('create', { topic, partitions, configs: {} });
      const producer = new SteadyProducer(helper, topic);
      const consumed = new Consumed();
      const first = { member: `${name} 1`, group, topic, strategy };
      const second = { ...first, member: `${name} 2` };
      const third = { ...first, member: `${name} 3` };

      producer.start();
      await client.call('join', first);
      await until('the first member consumes', 20_000, async () => {
        await collect(client, [first.member], consumed);
        return consumed.counts.every((counts) => counts.size > 0);
      });
      await client.call('join', second);
      const shares = new Set<string>();
      await until('both members consume', 30_000, async () => {
        for (const { member } of [first, second]) {
          const seen = await client.call('seen', { member });
          consumed.add(seen);
          if (shares.size < 2 && seen.length > 0) shares.add(member);
        }
        return shares.size === 2;
      });
      consumed.add(await client.call('leave', { member: first.member }));
      await client.call('join', third);
      await sleep(500);
      await producer.stop();
      // kcat does not print the record that it has in hand when it is told to end.
      const lostByLeaving = kind.name === 'kcat' ? 1 : 0;
      await until('everything is consumed', 30_000, async () => {
        await collect(client, [second.member, third.member], consumed);
        return consumed.covers(producer.produced, lostByLeaving);
      });
      await until('everything is committed', 30_000, async () => {
        const offsets = await committedOf(group, topic);
        return producer.produced.every((end, partition) => offsets.get(partition) === BigInt(end));
      });
      consumed.add(await client.call('leave', { member: second.member }));
      consumed.add(await client.call('leave', { member: third.member }));
      finished.set(name, { producer, consumed });
    });
  }

  it('java: a group changes its protocol while members of both are in it', async function () {
    const kind = requireClient(this, 'java');
    const client = sharedClient(kind, broker.bootstrap);
    const helper = helperClient(broker.bootstrap);
    const topic = 'groups-converted';
    await helper.call('create', { topic, partitions, configs: {} });
    const producer = new SteadyProducer(helper, topic);
    const consumed = new Consumed();
    const classic = { member: 'converted classic', group: topic, topic, strategy: 'cooperative-sticky' };
    const modern = { ...classic, member: 'converted consumer', strategy: 'consumer-uniform' };
    producer.start();
    await client.call('join', classic);
    await until('the classic member consumes', 20_000, async () => {
      await collect(client, [classic.member], consumed);
      return consumed.counts.every((counts) => counts.size > 0);
    });
    await client.call('join', modern);
    const shares = new Set<string>();
    await until('both members consume', 30_000, async () => {
      for (const { member } of [classic, modern]) {
        const seen = await client.call('seen', { member });
        consumed.add(seen);
        if (seen.length > 0) shares.add(member);
      }
      return shares.size === 2;
    });
    consumed.add(await client.call('leave', { member: modern.member }));
    await sleep(500);
    await producer.stop();
    await until('everything is consumed', 30_000, async () => {
      await collect(client, [classic.member], consumed);
      return consumed.covers(producer.produced, 0);
    });
    consumed.add(await client.call('leave', { member: classic.member }));
  });

  it('confluent-kafka-python: the broker matches a regular expression', async function () {
    const kind = requireClient(this, 'confluent-kafka-python');
    const client = sharedClient(kind, broker.bootstrap);
    const helper = helperClient(broker.bootstrap);
    const topic = 'groups-matched-1';
    await helper.call('create', { topic, partitions, configs: {} });
    const producer = new SteadyProducer(helper, topic);
    for (let partition = 0; partition < partitions; partition++) await producer.produce(partition);
    const consumed = new Consumed();
    const member = 'matched';
    const strategy = 'consumer-uniform';
    await client.call('join', { member, group: member, topic: '^groups-matched-[0-9]+$', strategy });
    await until('everything is consumed', 30_000, async () => {
      await collect(client, [member], consumed);
      return consumed.covers(producer.produced, 0);
    });
    await client.call('leave', { member });
  });

  it('the broker restarts', async () => {
    await broker.restart();
  });

  for (const { kind, strategy } of cases) {
    const name = `${kind.name} ${strategy}`;
    it(`${name}: resumes where it had committed`, async function () {
      requireToolchain(this, kind.setup);
      const before = finished.get(name);
      assert.ok(before, 'the group did not finish before the restart');
      const client = sharedClient(kind, broker.bootstrap);
      const topic = `groups-${name.replace(' ', '-')}`;
      const committed = [...before.producer.produced];
      for (let partition = 0; partition < partitions; partition++) await before.producer.produce(partition);
      const consumed = new Consumed();
      const member = `${name} resumed`;
      await client.call('join', { member, group: topic, topic, strategy });
      await until('the new records are consumed', 30_000, async () => {
        await collect(client, [member], consumed);
        return consumed.counts.every((counts) => counts.size >= 3);
      });
      consumed.add(await client.call('leave', { member }));
      assert.deepEqual(consumed.notOnce(committed, before.producer.produced), []);
      const again = consumed.counts.map((counts, p) => [...counts.keys()].filter((o) => o < committed[p]!));
      assert.deepEqual(
        again,
        Array.from({ length: partitions }, () => []),
        'committed records came again',
      );
    });
  }
});
