import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PayloadScene } from './harness/payload-scene.ts';

const RECORD_BYTES = 300_000;
/** In segments of three or four. */
const COUNT = 16;

/** As someone uses it whose disk has lost something. */
describe('kafabric payload verify', () => {
  let scene: PayloadScene;

  before(async function () {
    PayloadScene.require(this);
    scene = new PayloadScene('verify');
    await scene.start({ 'payload.segment.bytes': '1048576' });
    await scene.createTopic();
    await scene.produce(new Array(COUNT).fill(RECORD_BYTES));
    await scene.stop();
  });
  after(() => scene?.end());

  const payload = () => join(scene.broker.dataDir, `${scene.topic}-0`, 'payload');
  const segments = () =>
    readdirSync(payload())
      .filter((name) => name.endsWith('.payload'))
      .sort()
      .map((name) => join(payload(), name));
  const verify = (...options: string[]) => scene.command('payload', 'verify', ...options);
  /** What it says when its exit status is not 0. */
  const complaint = (...options: string[]) =>
    verify(...options).then(
      (text) => assert.fail(`no complaint: ${text}`),
      (error: Error) => error.message,
    );

  it('says that everything is in order', async () => {
    await scene.verify();
    assert.deepEqual(JSON.parse(await verify('--json')).problems, []);
  });

  it('removes what no record refers to when it is told to', async () => {
    const last = segments().at(-1)!;
    copyFileSync(last, join(payload(), '00000000000000000099.payload'));
    assert.match(
      await complaint(),
      /ORPHAN: verify-0: \d+ bytes that no record refers to[\s\S]*--repair removes/,
    );
    assert.match(await verify('--repair'), /repaired: verify-0: [\s\S]*1 problem, repaired/);
    await scene.verify();
  });

  it('names records whose payload is lost, and takes them out of the log when it is told to', async () => {
    const [first, second] = segments();
    const bytes = readFileSync(first!);
    bytes[RECORD_BYTES + 100_000]! ^= 1;
    writeFileSync(first!, bytes);
    rmSync(second!);
    const said = await complaint();
    assert.match(said, /DAMAGED: verify-0 offset 1: /);
    const missing = /MISSING: verify-0 offset (\d+): the file is gone, and with it (\d) batches/.exec(said)!;
    assert.match(said, /--remove-lost/);
    assert.match(
      await complaint('--repair'),
      /DAMAGED: /,
      'nothing of the log is given up without being asked',
    );
    const [from, count] = [Number(missing[1]), Number(missing[2])];
    const removed = await verify('--remove-lost');
    assert.match(removed, new RegExp(`removed: verify-0: ${count + 1} batches`));
    const left = scene.planned.filter((_, n) => n !== 1 && (n < from || n >= from + count));
    assert.equal(left.length, COUNT - count - 1);
    assert.match(await verify(), new RegExp(`${left.length} extents, .*: in order`));
    await scene.start({ 'payload.segment.bytes': '1048576' });
    await scene.consume(left);
    // It goes on where it was.
    await scene.produce([RECORD_BYTES]);
    await scene.consume([...left, scene.planned.at(-1)!]);
    await scene.stop();
    assert.match(await verify(), new RegExp(`${left.length + 1} extents, .*: in order`));
  });

  it('changes nothing of a gateway that was killed', async () => {
    await scene.start({});
    await scene.produce([RECORD_BYTES]);
    await scene.broker.kill('SIGKILL');
    assert.match(await complaint('--repair'), /the gateway was not shut down there/);
  });
});
