import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describeOneStore } from '../fabric/one-store.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { Child } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { installed, root } from '../harness/paths.ts';

const NAME = 'libfabric-2';
const library = join(installed, NAME, 'lib/mpich/libfabric.so.1');

describe('libfabric 2', () => {
  if (targetIsKafka) return;
  const require = (context: Mocha.Context) => requireToolchain(context, NAME);

  it('passes the tests of the fabric', async function () {
    this.timeout(1_200_000);
    require(this);
    const tests = [join(root, 'scripts/build-native.mjs'), '--test', '--filter=fabric_'];
    const child = new Child([process.execPath, ...tests], { KAFABRIC_FABRIC_LIBRARY: library });
    const { code } = await child.ended;
    assert.equal(code, 0, child.output.slice(-4000));
    assert.match(child.output, /\d+ passed, 0 failed\s*$/);
  });

  describeOneStore({ provider: 'tcp', domain: 'lo', library }, require);
});
