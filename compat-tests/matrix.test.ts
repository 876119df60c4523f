import assert from 'node:assert/strict';
import { sharedBroker } from './harness/broker.ts';
import {
  type Client,
  type ClientKind,
  clientKinds,
  type Hello,
  helperClient,
  requireToolchain,
  startClient,
} from './harness/client.ts';
import { digest, makeValue, type PlannedRecord, type SeenRecord } from './harness/payload.ts';

const [kilobyte, megabyte] = [1024, 1024 * 1024];

/** One request each; mixed sizes share a batch, so that its mean record size, not the size of one record, decides about diversion. */
const requests: { partition: number; sizes: number[] }[] = [
  { partition: 1, sizes: [0, -1, 1, kilobyte] },
  { partition: 0, sizes: [64 * kilobyte - 1] },
  { partition: 0, sizes: [64 * kilobyte] },
  { partition: 0, sizes: [64 * kilobyte + 1] },
  { partition: 1, sizes: [megabyte] },
  { partition: 0, sizes: [10 * megabyte] },
  { partition: 1, sizes: [kilobyte, megabyte, 1] },
];
const allCodecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const firstTimestamp = Date.now() - 3_600_000;

const topicName = (client: string, codec: string) => `matrix-${client}-${codec}`;

/** What a client produces to one topic, partition by partition in offset order. */
function plan(clientIndex: number, codec: string): { partition: number; records: PlannedRecord[] }[] {
  let seed = (clientIndex * allCodecs.length + allCodecs.indexOf(codec)) * 100;
  return requests.map(({ partition, sizes }) => ({
    partition,
    records: sizes.map((size) => {
      seed += 1;
      const headers: [string, string][] = [
        ['seed', String(seed)],
        ['größe', `${size} ✓`],
      ];
      return {
        key: seed % 5 === 0 ? null : `key-${seed}`,
        size,
        seed,
        headers: seed % 7 === 0 ? [] : headers,
        timestamp: firstTimestamp + seed * 1000,
      };
    }),
  }));
}

function expected(topic: string, clientIndex: number, codec: string, lacks: Hello['lacks']): SeenRecord[] {
  const next = [0, 0];
  return plan(clientIndex, codec).flatMap(({ partition, records }) =>
    records.map((record) => {
      const size = record.size === 0 && lacks?.includes('empty values') ? -1 : record.size;
      return {
        topic,
        partition,
        offset: next[partition]!++,
        key: record.key,
        size,
        digest: size < 0 ? '' : digest(makeValue(size, record.seed)),
        headers: record.headers,
        timestamp: lacks?.includes('timestamps') ? 0 : record.timestamp,
      };
    }),
  );
}

function sorted(records: SeenRecord[]): SeenRecord[] {
  return records.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset);
}

describe('every client reads what every client writes', () => {
  const hellos = new Map<string, Hello>();
  const produced = new Set<string>();
  /** Not those of other tests, who may have left them with work to do. */
  const clients = new Map<string, Client>();
  let bootstrap: string;

  before(async () => {
    bootstrap = (await sharedBroker()).bootstrap;
  });

  after(async () => {
    await Promise.all(Array.from(clients.values(), (client) => client.stop()));
  });

  function own(kind: ClientKind): Client {
    const client = clients.get(kind.name) ?? startClient(kind, bootstrap);
    clients.set(kind.name, client);
    return client;
  }

  async function createTopic(client: Client, hello: Hello, topic: string): Promise<void> {
    const creator = hello.lacks?.includes('create') ? helperClient(bootstrap) : client;
    const configs = { 'max.message.bytes': '30000000' };
    await creator.call('create', { topic, partitions: 2, configs });
  }

  for (const kind of clientKinds) {
    const index = clientKinds.indexOf(kind);
    it(`${kind.name} produces every compression and size`, async function () {
      requireToolchain(this, kind.setup);
      const client = own(kind);
      const hello = await client.call('hello', {});
      hellos.set(kind.name, hello);
      for (const codec of hello.codecs) {
        const topic = topicName(kind.name, codec);
        await createTopic(client, hello, topic);
        const next = [0, 0];
        for (const { partition, records } of plan(index, codec)) {
          const acks = codec === 'lz4' ? 1 : -1;
          const { baseOffset } = await client.call('produce', { topic, partition, codec, acks, records });
          if (baseOffset >= 0)
            assert.equal(baseOffset, next[partition], `base offset of ${topic}/${partition}`);
          next[partition]! += records.length;
        }
      }
      produced.add(kind.name);
    });
  }

  for (const kind of clientKinds) {
    describe(`${kind.name} consumes`, () => {
      const byTopic = new Map<string, SeenRecord[]>();

      before(async function () {
        requireToolchain(this, kind.setup);
        const client = own(kind);
        const topics = [...produced].flatMap((from) =>
          readable(kind.name, from).map((codec) => ({ topic: topicName(from, codec), ends: endOffsets() })),
        );
        for (const record of await client.call('consume', { topics })) {
          byTopic.set(record.topic, [...(byTopic.get(record.topic) ?? []), record]);
        }
      });

      for (const from of clientKinds) {
        it(`from ${from.name}`, function () {
          requireToolchain(this, from.setup);
          assert.ok(produced.has(from.name), `${from.name} has not produced`);
          const { lacks } = hellos.get(from.name)!;
          for (const codec of readable(kind.name, from.name)) {
            const topic = topicName(from.name, codec);
            const wanted = expected(topic, clientKinds.indexOf(from), codec, lacks);
            const seen = sorted(byTopic.get(topic) ?? []);
            if (lacks?.includes('timestamps')) for (const record of seen) record.timestamp = 0;
            assert.deepEqual(seen, sorted(wanted), topic);
          }
        });
      }
    });
  }

  /** The codecs that `from` writes and `to` reads. */
  function readable(to: string, from: string): string[] {
    const { codecs, unreadable } = hellos.get(to)!;
    const written = hellos.get(from)!.codecs;
    return written.filter((codec) => codecs.includes(codec) && !unreadable?.includes(`${from}/${codec}`));
  }

  function endOffsets(): number[] {
    const ends = [0, 0];
    for (const { partition, sizes } of requests) ends[partition]! += sizes.length;
    return ends;
  }
});
