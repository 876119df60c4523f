import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker } from '../harness/broker.ts';
import { patience, until } from '../harness/child.ts';
import { type Client, clientKinds, missing, startClient } from '../harness/client.ts';
import { gatewayProgram } from '../harness/paths.ts';
import { digest, type PlannedRecord, plannedValue } from '../harness/payload.ts';
import { STORES_SECRET, StoreUnderTest } from '../harness/store.ts';

// These run in the machine of run.mjs, which has a soft-RoCE device.
const PROVIDER = 'verbs;ofi_rxm';
const topic = 'remembered';
/** Of records: less and more than a piece of the fabric, and not its multiples. */
const SIZES = [100_001, 700_000, 1_048_577, 4_000_003];
const PATIENCE_MS = 120_000;

interface Finding {
  area: string;
  status: string;
  text: string;
}

describe(`a gateway and stores over ${PROVIDER}`, () => {
  let dir: string;
  let broker: Broker;
  let client: Client;
  let overrides: Record<string, string>;
  const stores: StoreUnderTest[] = [];
  const planned: PlannedRecord[] = [];

  before(async () => {
    const able = ['franz-go', 'platformatic-kafka'];
    const kind = clientKinds.find(({ name, setup }) => able.includes(name) && missing(setup) === null);
    assert.ok(kind, `one of the clients ${able.join(', ')} must be installed`);
    dir = mkdtempSync(join(tmpdir(), 'verbs-'));
    const addresses = `${join(dir, 'addresses')}/`;
    for (const zone of ['a', 'b', 'c']) {
      const store = await StoreUnderTest.make(join(dir, `store-${zone}`), {
        'payload.store.zone': zone,
        'payload.store.address.file': addresses,
        'payload.store.heartbeat.ms': String(2000 * patience),
        'fabric.provider': PROVIDER,
      });
      stores.push(store);
    }
    await Promise.all(stores.map((store) => store.start()));
    overrides = {
      'fabric.provider': PROVIDER,
      'payload.stores': addresses,
      'payload.stores.secret': STORES_SECRET,
      'payload.stores.lost.after.ms': '1000',
      'payload.replicas': '2',
      'payload.segment.bytes': '16777216',
    };
    broker = await makeBroker({ dir, overrides });
    await broker.start();
    client = startClient(kind, broker.bootstrap);
    await client.call('create', { topic, partitions: 1, configs: {} });
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    for (const store of stores) {
      store.freeze(false);
      await store.kill();
    }
    if (dir) rmSync(dir, { recursive: true });
  });

  async function produce(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const seed = planned.length;
      const record = {
        key: null,
        size: SIZES[seed % SIZES.length]!,
        seed,
        headers: [],
        timestamp: Date.now(),
      };
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
      planned.push(record);
    }
  }

  async function consume(): Promise<void> {
    const seen = await client.call('consume', { topics: [{ topic, ends: [planned.length] }] });
    assert.deepEqual(
      seen.map((record) => record.digest),
      planned.map((record) => digest(plannedValue(record)!)),
    );
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    const line = text.split('\n').find((line) => line.startsWith(`kafabric_stores_${name} `));
    return Number(line?.split(' ').at(-1));
  }

  async function transferred(store: StoreUnderTest, name: string): Promise<number> {
    const text = await (await fetch(`${store.metricsUrl}/metrics`)).text();
    const start = `kafabric_fabric_${name}{provider="${PROVIDER}",domain="rxe0"} `;
    const line = text.split('\n').find((line) => line.startsWith(start));
    return Number(line?.slice(start.length));
  }

  const byVerbs = () => metric(`by_provider{provider="${PROVIDER}"}`);
  const allCopiesAreThere = () =>
    until('all stores are there, with all copies', PATIENCE_MS, async () => {
      return (await byVerbs()) === stores.length && (await metric('lacking_bytes')) === 0;
    });

  /** What `kafabric doctor` finds; its exit status is not of interest, which is also about memory and disks of the machine. */
  function doctor(): Finding[] {
    const settings = { 'log.dirs': join(dir, 'nothing'), ...overrides };
    const options = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    const words = [gatewayProgram, 'doctor', '--json', '--no-measure', ...options];
    const { stdout, stderr } = spawnSync(process.execPath, words, {
      encoding: 'utf8',
      timeout: PATIENCE_MS * patience,
    });
    assert.ok(stdout.startsWith('['), stdout + stderr);
    return JSON.parse(stdout);
  }

  it('keep payload for a client that knows nothing of it', async () => {
    await produce(2 * SIZES.length);
    await consume();
    assert.equal(await byVerbs(), 3);
    const read = await Promise.all(stores.map((store) => transferred(store, 'read_bytes_total')));
    const payload = planned.reduce((sum, { size }) => sum + size, 0);
    assert.ok(read.reduce((sum, bytes) => sum + bytes) >= 2 * payload, `${read} of ${payload}`);
    for (const store of stores) assert.equal(await store.metric(`gateways{provider="${PROVIDER}"}`), 1);
  });

  it('are examined', async () => {
    let texts: string[] = [];
    const isReached = (text: string) => text.includes(`: ${PROVIDER} on rxe0, `);
    // Each step of attaching has a limit of its own, which a machine without KVM may miss.
    await until('all stores are reached', PATIENCE_MS, () => {
      texts = doctor()
        .filter(({ status }) => status === 'ok')
        .map(({ text }) => text);
      return texts.filter(isReached).length === stores.length;
    });
    assert.ok(
      texts.some((text) => text.startsWith(`provider ${PROVIDER}: rxe0 `)),
      texts.join('\n'),
    );
    assert.ok(texts.includes(`payload would go over ${PROVIDER} on rxe0`), texts.join('\n'));
  });

  it('go on when a store is killed, and when it is back', async () => {
    await stores[0]!.kill('SIGKILL');
    await produce(SIZES.length);
    await consume();
    await stores[0]!.start();
    await allCopiesAreThere();
    await stores[1]!.kill('SIGKILL');
    await consume();
    await stores[1]!.start();
    await allCopiesAreThere();
    await consume();
  });

  it('go on when a store is stopped in its tracks', async () => {
    stores[2]!.freeze(true);
    await produce(SIZES.length);
    await consume();
    stores[2]!.freeze(false);
    await allCopiesAreThere();
  });

  it('lose nothing when the gateway is killed', async () => {
    await produce(1);
    await broker.kill('SIGKILL');
    await broker.start();
    await consume();
    await produce(SIZES.length);
    await consume();
  });
});
