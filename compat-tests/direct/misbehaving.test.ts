import assert from 'node:assert/strict';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { constants } from 'node:os';
import { type Client, DirectError, type Path, type TopicHandle } from '../../src/client/index.ts';
import { createSharedBuffer, type SharedBuffer } from '../../src/native/direct.ts';
import { ErrorCode } from '../../src/protocol/errors.ts';
import { buildBatch } from '../../src/protocol/records/builder.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { type Child, sleep, until } from '../harness/child.ts';
import { readMetric, readMetrics } from '../harness/metrics.ts';
import { ClientPrograms } from './client-programs.ts';
import { content, type DirectGateway, startDirectGateway } from './fixture.ts';
import { RawReferences } from './raw-references.ts';
import { punchHoles, RawShared } from './shared.raw.ts';
import { Traffic } from './traffic.ts';

const PULL = { timeoutMs: 60_000 };
const KILLS = 3;
/** Of what `mover.child` moves. */
const MOVED_BYTES = 20_000_000;
const VALUE_BYTES = 30_000_000;
/** Requests that are under way when memory goes. */
const AT_ONCE = 4;
const LARGE = { configs: { 'max.message.bytes': '100000000' } };

for (const path of ['shared-memory', 'tcp'] as const satisfies readonly Path[])
  describe(`direct clients that misbehave harm only themselves (${path})`, () => {
    if (targetIsKafka) return;
    let gateway: DirectGateway;
    let client: Client;
    let traffic: Traffic;
    const movers = new ClientPrograms('mover');

    before(async () => {
      gateway = await startDirectGateway();
      client = await gateway.connect({ path });
      traffic = await Traffic.start(gateway, path, 'others');
    });
    after(async () => {
      await movers.killAll();
      await traffic?.stop();
      client?.close();
      await gateway?.broker.stop();
    });

    /** Files of shared memory that a process has open, by their inodes. */
    function sharedFilesOf(pid: number): Set<number> {
      const files = new Set<number>();
      for (const name of readdirSync(`/proc/${pid}/fd`)) {
        const file = `/proc/${pid}/fd/${name}`;
        try {
          if (readlinkSync(file).startsWith('/memfd:kafabric-client')) files.add(statSync(file).ino);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // closed meanwhile
        }
      }
      return files;
    }

    const metric = (name: string) => readMetric(gateway.broker.metricsUrl!, `kafabric_${name}`);

    async function connections(): Promise<number> {
      const text = await readMetrics(gateway.broker.metricsUrl!);
      const sum = (name: string) =>
        [...text.matchAll(new RegExp(`^kafabric_connections_${name}_total\\{.*DIRECT.*\\} (\\d+)`, 'gm'))]
          .map(([, value]) => Number(value))
          .reduce((total, value) => total + value, 0);
      return sum('opened') - sum('closed');
    }

    const held = () => Promise.all([metric('direct_attachments'), connections()]);

    /** Ends it; what it had of the gateway, and the gateway of it, is free again. */
    async function killed(child: Child, before: readonly number[]): Promise<void> {
      const files = sharedFilesOf(child.process.pid!);
      const isHeld = () => [...sharedFilesOf(gateway.broker.pid!)].some((file) => files.has(file));
      if (path === 'shared-memory') assert.ok(isHeld(), 'the gateway has its memory');
      await movers.kill(child);
      await until('its memory is let go of', 60_000, () => !isHeld());
      await until('nothing of it is attached', 60_000, async () => {
        const now = await held();
        return now.every((one, i) => one <= before[i]!);
      });
    }

    /** A topic with one event, of this process. */
    async function begun(name: string): Promise<TopicHandle> {
      const topic = await client.createTopic(name, LARGE);
      const producer = topic.producer();
      await producer.push({ of: 'parent' }, Buffer.alloc(MOVED_BYTES, 3));
      await producer.close();
      // The connections that this takes are there from now on.
      assert.equal(await wholeEvents(topic), 1);
      return topic;
    }

    async function atIt(what: string, topic: TopicHandle): Promise<Child> {
      const child = movers.start(gateway.direct, JSON.stringify({ path }), what, topic.name);
      await until('the client is at it', 60_000, () => {
        if (!child.running) throw new Error(`the client ended: ${child.output}`);
        return child.output.includes('at it');
      });
      return child;
    }

    /** How many events can be seen; each has to be whole. */
    async function wholeEvents(topic: TopicHandle): Promise<number> {
      const expected = Buffer.alloc(MOVED_BYTES, 3);
      const consumer = topic.consumer({ select: 'all', prefetchDataBytes: 2 * MOVED_BYTES });
      let count = 0;
      for (;;) {
        const event = await consumer.pull({ timeoutMs: count === 0 ? PULL.timeoutMs : 500 });
        if (event === null) break;
        assert.ok(expected.equals(event.selected!), `event ${event.offset}`);
        count++;
      }
      await consumer.close();
      return count;
    }

    /**
     * Whole events that there may be while a client stands still in the middle of it. The gateway takes the data itself from shared memory; over a
     * connection half of it is missing, unless the gateway reads as fast as the client sends.
     */
    function seenOf(what: string): number[] {
      if (what === 'pull') return [1];
      return path === 'tcp' ? [2, 3] : [3];
    }

    for (const what of ['push', 'pull']) {
      it(`those that are killed in the middle of a ${what} leave nothing half`, async () => {
        const topic = await begun(`killed-${what}`);
        await traffic.goesOn(1);
        const before = await held();
        for (let n = 0; n < KILLS; n++) {
          const child = await atIt(what, topic);
          await sleep(n * 7);
          await killed(child, before);
          await traffic.goesOn(1);
        }
        const seen = await wholeEvents(topic);
        if (what === 'push') assert.ok(seen > KILLS, `${seen}`);
        else assert.equal(seen, 1);
      });

      it(`one that is killed while it has stopped in the middle of a ${what} does neither`, async () => {
        const topic = await begun(`stopped-and-killed-${what}`);
        const before = await held();
        const child = await atIt(`${what}-and-stop`, topic);
        await traffic.goesOn(2);
        await killed(child, before);
        await traffic.goesOn(1);
        assert.ok(seenOf(what).includes(await wholeEvents(topic)));
      });

      it(`one that stops in the middle of a ${what} is not waited for, and goes on when it is continued`, async () => {
        const topic = await begun(`stopped-${what}`);
        const child = await atIt(`${what}-and-stop`, topic);
        await traffic.goesOn(3);
        assert.ok(seenOf(what).includes(await wholeEvents(topic)), 'what is half pushed cannot be seen');
        assert.ok(!/went on|failed/.test(child.output), 'it has stopped');
        child.process.kill('SIGCONT');
        await movers.ended(child);
        assert.match(child.output, /went on/);
        assert.equal(await wholeEvents(topic), what === 'pull' ? 1 : 3);
        await traffic.goesOn(1);
      });
    }

    it('one whose data goes away while it is pushed is told, and nothing else is wrong', async () => {
      const topic = await client.createTopic('detached', LARGE);
      const producer = topic.producer();
      for (const waitMs of [0, 1, 5]) {
        const data = content(VALUE_BYTES, waitMs);
        const pushed = producer.push({ seed: waitMs }, data).catch((error: unknown) => error);
        await sleep(waitMs);
        structuredClone(data.buffer, { transfer: [data.buffer as ArrayBuffer] });
        const result = await pushed;
        assert.ok(!(result instanceof Error) || result instanceof DirectError, `${result}`);
      }
      const { offset: end } = await producer.push({ seed: 9 }, content(VALUE_BYTES, 9));
      await producer.close();
      const consumer = topic.consumer({ select: 'all', prefetchDataBytes: VALUE_BYTES });
      for (let offset = -1n; offset < end; ) {
        const event = (await consumer.pull(PULL))!;
        ({ offset } = event);
        const { seed } = event.metadata as { seed: number };
        assert.ok(content(VALUE_BYTES, seed).equals(event.selected!), `event ${offset} is whole`);
      }
      await consumer.close();
      await traffic.goesOn(1);
    });

    if (path === 'tcp') return;

    it('memory that can be made shorter is not taken, and what is taken cannot', async () => {
      const raw = await RawShared.connect(gateway.direct);
      const file = `/dev/shm/kafabric-test-${process.pid}`;
      const descriptor = openSync(file, 'w+');
      try {
        ftruncateSync(descriptor, 1 << 20);
        const unsealed = { descriptor, buffer: new ArrayBuffer(1 << 20) };
        assert.equal(await raw.offer(unsealed), -constants.errno.EPERM);
        const sealed = await createSharedBuffer(1 << 20);
        assert.ok((await raw.offer(sealed)) >= 0);
        assert.throws(() => ftruncateSync(sealed.descriptor, 0), { code: 'EPERM' });
      } finally {
        closeSync(descriptor);
        rmSync(file);
        raw.close();
      }
    });

    /** What a client does to its memory while it is used. */
    const HARM: Record<string, (raw: RawShared, region: number, shared: SharedBuffer) => unknown> = {
      'takes the pages out of': (_raw, _region, shared) => punchHoles(shared),
      'writes over': (_raw, _region, { buffer }) => new Uint8Array(buffer).fill(9),
      'gives back': (raw, region) => raw.release(region),
      'gives back, with the connection,': (raw) => raw.close(),
    };
    const whatCanBe = new Set<number | string>([
      ErrorCode.NONE,
      ErrorCode.CORRUPT_MESSAGE,
      ErrorCode.INVALID_REQUEST,
      'CONNECTION',
      'CLOSED',
    ]);

    /** Requests that use memory at the time when harm is done to it. */
    async function harmed(
      harm: keyof typeof HARM,
      request: (raw: RawShared, region: number) => Promise<number>,
      fill: Uint8Array,
    ): Promise<void> {
      const raw = await RawShared.connect(gateway.direct);
      const shared = await createSharedBuffer(fill.byteLength);
      new Uint8Array(shared.buffer).set(fill);
      const region = await raw.offer(shared);
      const answers = Array.from({ length: AT_ONCE }, () =>
        request(raw, region).catch((error: { code: string }) => error.code),
      );
      await sleep(2);
      await HARM[harm]!(raw, region, shared);
      for (const answer of await Promise.all(answers)) assert.ok(whatCanBe.has(answer), `${answer}`);
      raw.close();
      const { ino } = fstatSync(shared.descriptor);
      await until('its memory is let go of', 60_000, () => !sharedFilesOf(gateway.broker.pid!).has(ino));
    }

    for (const harm of Object.keys(HARM)) {
      it(`one that ${harm} its memory while a put reads it`, async () => {
        const topic = await client.createTopic(`put-${harm.replaceAll(/\W+/g, '-')}`, LARGE);
        const value = content(VALUE_BYTES, 5);
        const batch = buildBatch([{ key: null, value, timestamp: BigInt(Date.now()) }]);
        for (let n = 0; n < 3; n++)
          await harmed(harm, (raw, region) => raw.put(topic.id, region, batch), batch);
        await traffic.goesOn(1);
        const producer = topic.producer();
        const { offset: end } = await producer.push({ last: true }, content(100, 1));
        await producer.close();
        const consumer = topic.consumer({ select: 'all', prefetchDataBytes: VALUE_BYTES });
        for (let offset = 0n; offset < end; offset++) {
          const event = (await consumer.pull(PULL))!;
          assert.equal(event.offset, offset);
          assert.ok(value.equals(event.selected!), `event ${offset} is whole`);
        }
        await consumer.close();
      });

      it(`one that ${harm} its memory while a get writes it`, async () => {
        const name = `get-${harm.replaceAll(/\W+/g, '-')}`;
        const topic = await client.createTopic(name, LARGE);
        const producer = topic.producer();
        await producer.push({}, content(VALUE_BYTES, 6));
        await producer.close();
        const references = new RawReferences({ bootstrap: gateway.direct, path });
        const { reference } = await references.fetch(name);
        const empty = new Uint8Array(VALUE_BYTES);
        for (let n = 0; n < 3; n++) await harmed(harm, (raw, region) => raw.get(reference, region), empty);
        await traffic.goesOn(1);
        const whole = await references.get(await references.fetch(name));
        assert.ok(content(VALUE_BYTES, 6).equals(whole), 'the value is as it was');
        references.close();
      });
    }
  });
