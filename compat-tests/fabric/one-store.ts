import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, strided } from '../../src/client/index.ts';
import { freePort } from '../../src/util/free-port.ts';
import { patient } from '../direct/fixture.ts';
import { Child, patience, until } from '../harness/child.ts';
import { digest, makeValue, plannedValue } from '../harness/payload.ts';
import { PayloadScene } from '../harness/payload-scene.ts';
import { STORES_SECRET, StoreUnderTest } from '../harness/store.ts';
import { clientOf, PATIENCE_MS, SIZES, settingsOf, storeSettingsOf, type TriedWay } from './way.ts';

const PULL = { timeoutMs: 60_000 * patience };
const MAX_TIMEOUT_MS = 600_000;
/** What `mover.child` pushes is full of them. */
const CHILDS_BYTE = 3;

/** A gateway, a store, a Kafka client and a direct one, whose data goes one way of libfabric; each is killed. `require`: may skip all of it. */
export function describeOneStore(way: TriedWay, require: (context: Mocha.Context) => void = () => {}): void {
  const { provider, domain, library } = way;

  describe(`a gateway, a store and clients over ${provider}`, () => {
    let scene: PayloadScene;
    let store: StoreUnderTest;
    let direct: string;
    let client: Client;

    before(async function () {
      this.timeout(4 * PATIENCE_MS * patience);
      require(this);
      scene = new PayloadScene('kept', clientOf());
      store = await StoreUnderTest.make(join(scene.dir, 'store'), storeSettingsOf(way));
      await store.start();
      direct = `127.0.0.1:${await freePort()}`;
      const settings = {
        ...settingsOf(way),
        'payload.stores': store.address,
        'payload.stores.secret': STORES_SECRET,
        'payload.replicas': '1',
        'direct.fabric.timeout.ms': String(Math.min(20_000 * patience, MAX_TIMEOUT_MS)),
      };
      await scene.start(settings, [`DIRECT://${direct}`]);
      await scene.createTopic();
      client = await Client.connect({
        bootstrap: direct,
        path: 'fabric',
        fabric: { provider, domain, library },
        sharedChunkBytes: 16 << 20,
        ...patient,
      });
    });

    after(async function () {
      this.timeout(PATIENCE_MS * patience);
      client?.close();
      await scene?.stop();
      await store?.kill();
      await scene?.end();
    });

    const byDirect = (name: string) => scene.metric(`direct_fabric_${name}{provider="${provider}"}`);
    const byStore = (name: string) =>
      store.metric(`fabric_${name}{provider="${provider}",domain="${domain}"}`);
    const planned = () => scene.planned.reduce((sum, { size }) => sum + size, 0);
    const storeIsIn = () =>
      until('the store is in', PATIENCE_MS, async () => {
        return (await scene.metric(`stores_by_provider{provider="${provider}"}`)) === 1;
      });

    /** The direct client pulls the whole topic; compared by checksums with what was produced. */
    async function pullAll(): Promise<void> {
      const consumer = (await client.openTopic(scene.topic)).consumer({ select: 'all' });
      for (const record of scene.planned) {
        const event = await consumer.pull(PULL);
        assert.equal(digest(event!.selected!), digest(plannedValue(record)!), `event ${event!.offset}`);
      }
      await consumer.close();
    }

    async function push(sizes: readonly number[]): Promise<void> {
      const producer = (await client.openTopic(scene.topic)).producer();
      for (const size of sizes) {
        const seed = scene.planned.length;
        await producer.push({ seed }, makeValue(size, seed));
        scene.planned.push({ key: null, size, seed, headers: [], timestamp: 0 });
      }
      assert.equal(producer.path, 'fabric');
      await producer.close();
    }

    it('are attached by it', async () => {
      assert.equal(client.path, 'fabric');
      assert.equal(client.provider, provider);
      assert.ok((await byDirect('attachments')) >= 1);
      await storeIsIn();
      assert.equal(await store.metric(`store_gateways{provider="${provider}"}`), 1);
    });

    it('move what a Kafka client produces, to it and to a direct client', async () => {
      await scene.produce(SIZES);
      await scene.consume();
      const written = await byDirect('written_bytes_total');
      await pullAll();
      assert.ok((await byStore('read_bytes_total')) >= planned(), 'the store has read all of it');
      assert.ok(
        (await byDirect('written_bytes_total')) - written >= planned(),
        'the client has got all of it',
      );
    });

    it('move what a direct client pushes, to it and to a Kafka client', async () => {
      const read = await byDirect('read_bytes_total');
      const before = planned();
      await push(SIZES);
      assert.ok((await byDirect('read_bytes_total')) - read >= planned() - before);
      assert.ok((await byStore('read_bytes_total')) >= planned());
      await scene.consume();
      await pullAll();
    });

    it('lands parts in memory that was allocated, and pushes from it', async () => {
      const topic = await client.createTopic('parts');
      const [size, seed] = [1_000_000, 1];
      const memory = await client.allocate(2 * size);
      memory.bytes.subarray(0, size).set(makeValue(size, seed));
      const producer = topic.producer();
      await producer.push({}, memory.bytes.subarray(0, size));
      await producer.close();
      const place = memory.bytes.subarray(size);
      const blocks = strided(1000, 100, 4001, 9000);
      const consumer = topic.consumer({
        select: () => blocks,
        broker: (_metadata, _descriptor, bytes) => place.subarray(0, bytes),
      });
      const event = (await consumer.pull(PULL))!;
      const value = makeValue(size, seed);
      const parts = Array.from({ length: 100 }, (_, i) =>
        value.subarray(1000 + i * 9000, 1000 + i * 9000 + 4001),
      );
      assert.equal(digest(event.selected!), digest(Buffer.concat(parts)));
      assert.equal(event.selected!.buffer, memory.bytes.buffer);
      await consumer.close();
      memory.release();
    });

    it('go on when a direct client is killed in the middle of pushes', async () => {
      const topic = await client.createTopic('killed');
      const attachments = await byDirect('attachments');
      const script = fileURLToPath(new URL('../direct/mover.child.js', import.meta.url));
      const options = JSON.stringify({ path: 'fabric', fabric: { provider, domain, library } });
      const child = new Child([process.execPath, script, direct, options, 'push', 'killed']);
      await until('the client is at it', PATIENCE_MS, () => {
        assert.ok(child.running, child.output);
        return child.output.includes('at it');
      });
      await child.kill('SIGKILL');
      await until('the client is let go of', PATIENCE_MS, async () => {
        return (await byDirect('attachments')) <= attachments;
      });
      const producer = topic.producer();
      const { offset: end } = await producer.push({ last: true }, makeValue(SIZES[2]!, 5));
      await producer.close();
      assert.ok(end > 0n, 'the killed client has pushed something');
      const consumer = topic.consumer({ select: 'all' });
      for (let offset = 0n; offset < end; offset++) {
        const { selected, descriptor } = (await consumer.pull(PULL))!;
        const whole = Buffer.alloc(descriptor.size, CHILDS_BYTE);
        assert.equal(Buffer.compare(selected!, whole), 0, `event ${offset}`);
      }
      const last = (await consumer.pull(PULL))!;
      assert.equal(digest(last.selected!), digest(makeValue(SIZES[2]!, 5)));
      await consumer.close();
    });

    it('lose nothing when the store is killed, and take what is produced meanwhile when it is back', async () => {
      await store.kill('SIGKILL');
      const produced = scene.produce(SIZES);
      await store.start();
      await produced;
      await storeIsIn();
      assert.ok((await byStore('read_bytes_total')) > 0, 'by the new process');
      await scene.consume();
      await pullAll();
    });

    it('lose nothing when the gateway is killed: all of it comes from the store', async () => {
      await scene.broker.kill('SIGKILL');
      await scene.broker.start();
      await storeIsIn();
      await scene.consume();
      assert.ok((await byStore('written_bytes_total')) >= planned(), 'nothing of it was in memory');
      await pullAll();
      assert.ok((await byDirect('written_bytes_total')) >= planned());
      await push(SIZES);
      await scene.consume();
    });
  });
}
