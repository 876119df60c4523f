import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Store } from '../../native/store.ts';
import { TierFixture, TOPIC_ID } from '../partitions/tiers.fixture.ts';
import { checkPayload, type PayloadReport } from './payload-check.ts';

const MIB = 1 << 20;
const SIZES = [[100 * MIB], [100 * MIB]];

describe('checkPayload with storage tiers', () => {
  let tiers: TierFixture;
  let store: Store;

  beforeEach(async () => {
    tiers = new TierFixture();
    store = new Store({ threads: 1 });
    // Segments 0 and 1 move down; 2 is in the first tier.
    await tiers.start({ sizes: SIZES, threshold: 0 });
    await tiers.produce(7);
    await tiers.settle();
    await tiers.stop();
  });
  afterEach(async () => {
    await store.shutdown();
    await tiers.end();
  });

  function check(repair = false): Promise<PayloadReport> {
    return checkPayload({
      store,
      directories: [tiers.logs],
      tiers: [[tiers.path(0)], [tiers.path(1)]],
      openStores: null,
      topics: null,
      readPayload: true,
      repair,
    });
  }

  const kinds = ({ problems }: PayloadReport) => problems.map(({ kind, offset }) => [kind, offset]);

  it('reads the payload wherever it is, and changes nothing', async () => {
    const report = await check(true);
    assert.deepEqual([report.problems, report.outage, report.extents], [[], null, 7]);
    await tiers.start({ sizes: SIZES });
    await tiers.check();
    await assert.rejects(check(), { code: 'EBUSY' });
  });

  it('says that a directory is not there instead of calling its payload gone', async () => {
    renameSync(tiers.path(1), `${tiers.path(1)}-unmounted`);
    const report = await check();
    assert.match(report.outage!, /tier-1-0: .*ENOENT/);
    assert.deepEqual(kinds(report), [
      ['missing', '0'],
      ['missing', '3'],
    ]);
    assert.match(report.problems[0]!.detail, /^3 batches from here on are not there: .*tier-1-0/);
    mkdirSync(tiers.path(1));
    assert.match((await check()).outage!, /is its disk not mounted/);
    rmSync(tiers.path(1), { recursive: true });
    renameSync(`${tiers.path(1)}-unmounted`, tiers.path(1));
  });

  it('finds damage, second copies, unfinished ones and payload of nobody in every tier', async () => {
    rmSync(tiers.file(1, 1));
    copyFileSync(tiers.file(1, 0), tiers.file(0, 0));
    writeFileSync(`${tiers.file(0, 5)}.moving`, Buffer.alloc(10));
    writeFileSync(tiers.file(1, 77), Buffer.alloc(10));
    const report = await check();
    assert.deepEqual(kinds(report), [
      ['orphan', null],
      ['copy', null],
      ['missing', '3'],
      ['orphan', null],
    ]);
    await check(true);
    for (const file of [tiers.file(0, 0), `${tiers.file(0, 5)}.moving`, tiers.file(1, 77)])
      assert.ok(!existsSync(file));
    assert.deepEqual(kinds(await check()), [['missing', '3']]);
  });

  it('removes no copy that differs', async () => {
    copyFileSync(tiers.file(1, 0), tiers.file(0, 0));
    truncateSync(tiers.file(0, 0), 1000);
    const [problem] = (await check(true)).problems;
    assert.match(problem!.detail, /with another length; not to be removed/);
    assert.deepEqual([problem!.repaired, existsSync(tiers.file(0, 0))], [false, true]);
  });

  it('names payload whose partition is nowhere', async () => {
    const foreign = join(dirname(dirname(tiers.file(1, 0))), `u-3.${TOPIC_ID}`);
    mkdirSync(foreign);
    writeFileSync(join(foreign, '00000000000000000000.payload'), Buffer.alloc(10));
    const [problem] = (await check(true)).problems;
    assert.deepEqual(
      [problem!.kind, problem!.topic, problem!.partition, problem!.file],
      ['orphan', 'u', 3, foreign],
    );
    assert.ok(existsSync(foreign));
  });
});
