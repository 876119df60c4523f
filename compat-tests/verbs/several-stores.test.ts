import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { clientOf, PATIENCE_MS, SIZES, settingsOf, storeSettingsOf } from '../fabric/way.ts';
import { patience, until } from '../harness/child.ts';
import { gatewayCommand } from '../harness/command-line.ts';
import { PayloadScene } from '../harness/payload-scene.ts';
import { STORES_SECRET, StoreUnderTest } from '../harness/store.ts';
import { VERBS } from './way.ts';

const { provider: PROVIDER, domain: DOMAIN } = VERBS;

interface Finding {
  area: string;
  status: string;
  text: string;
}

describe(`a gateway and stores over ${PROVIDER}`, () => {
  let scene: PayloadScene;
  const stores: StoreUnderTest[] = [];

  before(async function () {
    this.timeout(4 * PATIENCE_MS * patience);
    scene = new PayloadScene('remembered', clientOf());
    const addresses = `${join(scene.dir, 'addresses')}/`;
    for (const zone of ['a', 'b', 'c']) {
      const store = await StoreUnderTest.make(join(scene.dir, `store-${zone}`), {
        ...storeSettingsOf(VERBS),
        'payload.store.zone': zone,
        'payload.store.address.file': addresses,
      });
      stores.push(store);
    }
    await Promise.all(stores.map((store) => store.start()));
    await scene.start({
      ...settingsOf(VERBS),
      'payload.stores': addresses,
      'payload.stores.secret': STORES_SECRET,
      'payload.stores.lost.after.ms': '1000',
      'payload.replicas': '2',
      'payload.segment.bytes': '16777216',
    });
    await scene.createTopic();
  });

  after(async function () {
    this.timeout(PATIENCE_MS * patience);
    await scene?.stop();
    for (const store of stores) {
      store.freeze(false);
      await store.kill();
    }
    await scene?.end();
  });

  const byVerbs = () => scene.metric(`stores_by_provider{provider="${PROVIDER}"}`);
  const allCopiesAreThere = () =>
    until('all stores are there, with all copies', PATIENCE_MS, async () => {
      return (await byVerbs()) === stores.length && (await scene.metric('stores_lacking_bytes')) === 0;
    });

  /** What `kafabric doctor` finds; its exit status is not of interest, which is also about memory and disks of the machine. */
  function doctor(): Finding[] {
    const settings = { ...scene.settings, 'log.dirs': join(scene.dir, 'nothing') };
    const [program, ...words] = gatewayCommand(['doctor', '--json', '--no-measure'], settings);
    const { stdout, stderr } = spawnSync(program!, words, {
      encoding: 'utf8',
      timeout: PATIENCE_MS * patience,
    });
    assert.ok(stdout.startsWith('['), stdout + stderr);
    return JSON.parse(stdout);
  }

  it('keep payload for a client that knows nothing of it', async () => {
    await scene.produce([...SIZES, ...SIZES]);
    await scene.consume();
    assert.equal(await byVerbs(), 3);
    const read = await Promise.all(
      stores.map((store) =>
        store.metric(`fabric_read_bytes_total{provider="${PROVIDER}",domain="${DOMAIN}"}`),
      ),
    );
    const payload = scene.planned.reduce((sum, { size }) => sum + size, 0);
    assert.ok(read.reduce((sum, bytes) => sum + bytes) >= 2 * payload, `${read} of ${payload}`);
    for (const store of stores) assert.equal(await store.metric(`store_gateways{provider="${PROVIDER}"}`), 1);
  });

  it('are examined', async () => {
    let texts: string[] = [];
    const isReached = (text: string) => text.includes(`: ${PROVIDER} on ${DOMAIN}, `);
    // Each step of attaching has a limit of its own, which a machine without KVM may miss.
    await until('all stores are reached', PATIENCE_MS, () => {
      texts = doctor()
        .filter(({ status }) => status === 'ok')
        .map(({ text }) => text);
      return texts.filter(isReached).length === stores.length;
    });
    assert.ok(
      texts.some((text) => text.startsWith(`provider ${PROVIDER}: ${DOMAIN} `)),
      texts.join('\n'),
    );
    assert.ok(texts.includes(`payload would go over ${PROVIDER} on ${DOMAIN}`), texts.join('\n'));
  });

  it('go on when a store is killed, and when it is back', async () => {
    await stores[0]!.kill('SIGKILL');
    await scene.produce(SIZES);
    await scene.consume();
    await stores[0]!.start();
    await allCopiesAreThere();
    await stores[1]!.kill('SIGKILL');
    await scene.consume();
    await stores[1]!.start();
    await allCopiesAreThere();
    await scene.consume();
  });

  it('go on when a store is stopped in its tracks', async () => {
    stores[2]!.freeze(true);
    await scene.produce(SIZES);
    await scene.consume();
    stores[2]!.freeze(false);
    await allCopiesAreThere();
  });

  it('lose nothing when the gateway is killed', async () => {
    await scene.produce([SIZES[0]!]);
    await scene.broker.kill('SIGKILL');
    await scene.broker.start();
    await scene.consume();
    await scene.produce(SIZES);
    await scene.consume();
  });
});
