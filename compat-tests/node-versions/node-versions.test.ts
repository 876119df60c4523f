import assert from 'node:assert/strict';
import { join } from 'node:path';
import { startBroker } from '../harness/broker.ts';
import { clientKinds, missing, requireToolchain, startClient } from '../harness/client.ts';
import { installed } from '../harness/paths.ts';
import { recordOf } from '../harness/payload.ts';

describe('the gateway on other versions of Node', () => {
  for (const version of ['22', '24', '26']) {
    it(`takes and gives back records on Node ${version}`, async function () {
      requireToolchain(this, 'node-versions');
      const node = join(installed, 'node-versions/node_modules', `node-${version}`, 'bin/node');
      const broker = await startBroker({ node });
      const kind = clientKinds.find(({ name, setup }) => name !== 'kcat' && missing(setup) === null)!;
      const client = startClient(kind, broker.bootstrap);
      try {
        assert.match(broker.logs(), new RegExp(`"node":"v${version}\\.`));
        const topic = `node-${version}`;
        await client.call('create', { topic, partitions: 1, configs: {} });
        const records = [100, 1_000_000].map((size, seed) => recordOf(`k${seed}`, size, seed));
        await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records });
        await broker.restart();
        const seen = await client.call('consume', { topics: [{ topic, ends: [2] }] });
        assert.equal(seen.length, 2);
      } finally {
        await client.stop();
        await broker.stop();
      }
    });
  }
});
