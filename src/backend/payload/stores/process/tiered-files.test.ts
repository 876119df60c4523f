import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { arenaStats } from '../../../../native/arena.ts';
import { Store } from '../../../../native/store.ts';
import { forgetStoreTier, StoreDirectory } from './store-directory.ts';
import {
  append,
  contentOf,
  type Faults,
  faultyStore,
  filesOf,
  GATEWAY,
  gate,
  NEW,
  nameOf,
  PARTITION,
  testTiers,
} from './testing.ts';

const MIB = 1 << 20;
const PART = Buffer.alloc(MIB, 7);

describe('The files of a store in tiers', () => {
  let root: string;
  let memory: string;
  let native: Store;
  let directory: StoreDirectory;
  let types: readonly string[];
  let threshold: number;
  let ended: string[];
  let copying: (() => Promise<void>) | null;
  let faults: Faults;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'tiered-files-'));
    memory = mkdtempSync('/dev/shm/kafabric-tiered-files-');
    types = ['NVME', 'HDD'];
    threshold = -1;
    ended = [];
    copying = null;
    faults = {};
    await open();
  });

  afterEach(async () => {
    await close();
    rmSync(root, { recursive: true });
    rmSync(memory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  const pathOf = (tier: number) => join(types[tier] === 'MEMORY' ? memory : root, `tier-${tier}`);

  /** `first`: bytes of the first tier. */
  async function open({ name = 'store', first = 8 * MIB } = {}): Promise<void> {
    native = new Store({ threads: 2, copyThreads: 1 });
    const at = join(root, name);
    const store = faultyStore(native, faults);
    directory = await StoreDirectory.open(at, store, async () => undefined, {
      openTiers: testTiers(
        at,
        {
          lockDirectory: (path) => native.lockDirectory(path),
          remove: (path) => native.remove(path),
          copyRange: async (...range) => {
            await copying?.();
            return native.copyRange(...range);
          },
          publishCopy: (...paths) => native.publishCopy(...paths),
        },
        types.map((type, i) => ({ type, path: pathOf(i), sizeBytes: i === 0 ? first : -1 })),
        { settings: () => ({ threshold, bytesPerSecond: -1 }) },
      ),
    }).catch(async (error: unknown) => {
      await native.shutdown();
      throw error;
    });
    (await files()).onEndWanted((file) => ended.push(file));
  }

  async function close(): Promise<void> {
    await directory.close();
    await native.shutdown();
  }

  const files = () => directory.filesOf(GATEWAY);

  async function written(
    segment: number,
    {
      mib = 1,
      seal = true,
      mayLose = false,
      tier = null,
    }: { mib?: number; seal?: boolean; mayLose?: boolean; tier?: number | null } = {},
  ) {
    const of = await files();
    await of.create(nameOf(segment), { ...NEW, mayLose, tier });
    const file = of.use(nameOf(segment));
    for (let i = 0; i < mib; i++) await append(file, i * MIB, PART);
    if (seal) await file.seal(mib * MIB, false);
    return file;
  }

  const isWhole = async (segment: number) =>
    assert.ok((await contentOf((await files()).use(nameOf(segment)), 0, MIB)).equals(PART));

  const inTier = (tier: number) => filesOf(pathOf(tier), '.payload').length;

  it('begin in the first tier, are moved when they are complete, and are read, cleaned and removed there', async () => {
    const file = await written(0);
    await written(1, { seal: false });
    assert.deepEqual([inTier(0), inTier(1), filesOf(pathOf(0), '.open').length], [1, 0, 1]);
    await isWhole(0);
    threshold = 0;
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1), filesOf(pathOf(0), '.open').length], [0, 1, 1]);
    await isWhole(0);
    await isWhole(1);
    assert.equal(await file.punch([0, MIB / 2]), MIB / 2);
    assert.equal(directory.usedBytes, 1.5 * MIB);
    assert.equal(directory.tiers.paths[1]!.usedBytes, MIB / 2);
    await (await files()).remove(nameOf(0));
    assert.deepEqual([inTier(1), directory.tiers.paths[1]!.usedBytes], [0, 0]);
    assert.equal(directory.usedBytes, MIB);
  });

  it('are found where they are by the next start, and go on to be written there', async () => {
    await written(0);
    await written(1, { seal: false });
    threshold = 0;
    await directory.tiers.migrator.idle();
    await close();
    await open();
    assert.deepEqual(
      (await files()).list('').files.map(({ bytes, sealed }) => [bytes, sealed]),
      [
        [MIB, true],
        [MIB, false],
      ],
    );
    assert.deepEqual(
      directory.tiers.paths.map(({ usedBytes }) => usedBytes),
      [MIB, MIB],
    );
    const open1 = (await files()).use(nameOf(1));
    await append(open1, MIB, PART);
    await open1.seal(2 * MIB, false);
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1)], [0, 2]);
    await isWhole(1);
  });

  it('are there once after a move that was interrupted', async () => {
    await written(0);
    await written(1);
    await close();
    const [zero, one] = filesOf(pathOf(0), '.payload');
    const moved = zero!.replace(pathOf(0), pathOf(1));
    mkdirSync(dirname(moved), { recursive: true });
    cpSync(zero!, moved);
    writeFileSync(`${one!.replace(pathOf(0), pathOf(1))}.moving`, PART.subarray(0, 5));
    await open();
    assert.deepEqual([existsSync(zero!), existsSync(moved)], [false, true]);
    assert.deepEqual(filesOf(root, '.moving'), []);
    assert.equal((await files()).count, 2);
    assert.equal(directory.usedBytes, 2 * MIB);
    await isWhole(0);
    await isWhole(1);
  });

  it('are read while they are moved', async () => {
    await written(0, { mib: 6 });
    const { passed, open: go } = gate();
    copying = () => passed;
    threshold = 0;
    const moved = directory.tiers.migrator.idle();
    const reads = Promise.all(Array.from({ length: 20 }, () => isWhole(0)));
    await reads;
    go();
    let isMoved = false;
    void moved.then(() => {
      isMoved = true;
    });
    do await isWhole(0);
    while (!isMoved);
    assert.deepEqual([inTier(0), inTier(1)], [0, 1]);
  });

  for (const [what, change] of [
    ['cleaned', async () => void (await (await files()).use(nameOf(0)).punch([0, MIB]))],
    ['cut', async () => (await files()).use(nameOf(0)).seal(4 * MIB, false)],
    ['removed', async () => (await files()).remove(nameOf(0))],
  ] as const)
    it(`stay where they are while they are ${what}`, async () => {
      await written(0, { mib: 6 });
      const { passed, open: go } = gate();
      const { passed: begun, open: begin } = gate();
      copying = () => {
        begin();
        return passed;
      };
      threshold = 0;
      const moved = directory.tiers.migrator.idle();
      await begun;
      const changed = change();
      go();
      await changed;
      await moved;
      assert.deepEqual([inTier(0), inTier(1)], [what === 'removed' ? 0 : 1, 0]);
      assert.deepEqual(filesOf(root, '.moving'), []);
      assert.equal(directory.tiers.paths[1]!.usedBytes, 0);
      assert.equal(directory.tiers.paths[0]!.usedBytes, directory.usedBytes);
    });

  it('are ended by their gateway where there is no room for more, and new ones go to the next tier', async () => {
    await written(0, { mib: 9, seal: false });
    assert.deepEqual(ended, [nameOf(0)]);
    await written(1);
    assert.deepEqual([inTier(0), inTier(1)], [0, 1]);
  });

  it('stay in the tier to which their partition is pinned, also after a start before their gateway is there', async () => {
    await written(0, { tier: 1 });
    await written(1, { tier: 1, seal: false });
    assert.deepEqual([inTier(0), inTier(1)], [0, 1]);
    threshold = 0.5;
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1)], [0, 1]);
    (await files()).pin(PARTITION, 0);
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1)], [1, 0]);
    await close();
    threshold = 0;
    await open();
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1)], [1, 0]);
    // A tier that the store has not is its last.
    (await files()).pin(PARTITION, 7);
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1)], [0, 1]);
    threshold = 0.5;
    (await files()).pin(PARTITION, null);
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), inTier(1)], [1, 0]);
    await isWhole(0);
    await isWhole(1);
  });

  it('of a partition that has none any more are pinned to nothing', async () => {
    const pins = () => JSON.parse(readFileSync(join(root, 'store', 'c.1', 'pins.json'), 'utf8')).pins;
    await written(0, { tier: 1 });
    await close();
    assert.deepEqual(pins(), { [PARTITION]: 1 });
    writeFileSync(join(root, 'store', 'c.1', 'pins.json'), 'nonsense');
    await open();
    (await files()).pin(PARTITION, 0);
    (await files()).pin(PARTITION.replace('t-0', 't-1'), 0);
    await close();
    assert.deepEqual(pins(), { [PARTITION]: 0 });
    await open();
    await (await files()).remove(nameOf(0));
    for (const tier of directory.tiers.paths) tier.takeOut(new Error('no luck'));
    await assert.rejects(written(1, { tier: 1 }), { code: 'ENOSPC' });
    await close();
    assert.deepEqual(pins(), {});
    await open();
  });

  it('of before there were tiers are read, and move into them', async () => {
    await close();
    rmSync(root, { recursive: true });
    mkdirSync(root);
    const both = types;
    types = [];
    await open();
    await written(0);
    await close();
    types = both;
    await open();
    await isWhole(0);
    await written(1);
    threshold = 0.5;
    await directory.tiers.migrator.idle();
    assert.deepEqual([inTier(0), filesOf(join(root, 'store'), '.payload').length], [2, 0]);
    await isWhole(0);
  });

  it('go elsewhere when a directory fails, and what is there is read on', async () => {
    const file = await written(0, { seal: false });
    faults.sync = async (path, doIt) => {
      if (!path.startsWith(pathOf(0))) return doIt();
      throw Object.assign(new Error('cannot flush: no luck'), { code: 'EIO' });
    };
    await assert.rejects(file.sync(), { code: 'EIO' });
    assert.match(directory.tiers.outage ?? '', /tier-0 is out of use/);
    assert.deepEqual([directory.trouble, directory.hasFailed], ['', false]);
    await written(1);
    assert.equal(inTier(1), 1);
    await isWhole(0);
    directory.tiers.paths[1]!.takeOut(new Error('no luck'));
    assert.match(directory.trouble, /tier-0 is out of use.*tier-1 is out of use/);
    assert.ok(directory.hasFailed);
    await assert.rejects(written(2), { code: 'ENOSPC' });
  });

  describe('that cannot be used', () => {
    const refused = (reason: RegExp, name = 'store') => assert.rejects(open({ name }), reason);

    it('keep the store from starting when they are of another store', async () => {
      await close();
      await refused(/belongs to the store [\w-]+, and not to the store /, 'another');
      await open();
    });

    for (const [what, breaks] of [
      ['is not there', () => undefined],
      ['is empty', () => mkdirSync(pathOf(0))],
      ['is no directory', () => writeFileSync(pathOf(0), '')],
      ['is of another store', () => cpSync(join(root, 'of-another'), pathOf(0), { recursive: true })],
      [
        'cannot be read',
        () => {
          cpSync(join(root, 'kept'), pathOf(0), { recursive: true });
          writeFileSync(join(pathOf(0), 'c.1', PARTITION.replace('t-0', 't-1')), '');
        },
      ],
    ] as const)
      it(`leave the others to the store when one ${what}, and nothing of it is taken for lost`, async () => {
        await written(0);
        await close();
        mkdirSync(join(root, 'of-another'));
        const foreign = 'version=1\ncluster.id=other\nnode.id=-1\ndirectory.id=x\n';
        writeFileSync(join(root, 'of-another', 'tier.properties'), foreign);
        renameSync(pathOf(0), join(root, 'kept'));
        breaks();
        await open();
        assert.match(directory.tiers.outage ?? '', /tier-0 is out of use/);
        assert.deepEqual([directory.trouble, directory.hasFailed], ['', false]);
        const unseen = { code: 'EIO', message: /may be where nobody can look: .*tier-0/ };
        const found = await files();
        assert.throws(() => found.use(nameOf(0)), unseen);
        assert.deepEqual(found.list('').files, []);
        await found.remove(nameOf(0));
        await written(1);
        assert.equal(inTier(1), 1);
        await close();
        rmSync(pathOf(0), { recursive: true, force: true });
        renameSync(join(root, 'kept'), pathOf(0));
        await open();
        assert.equal(directory.tiers.outage, null);
        await isWhole(0);
        await isWhole(1);
        const again = await files();
        assert.throws(() => again.use(nameOf(2)), { code: 'ENOENT' });
      });

    it('are missed when no setting names them any more', async () => {
      await written(0);
      await close();
      const both = types;
      types = [];
      await open();
      assert.match(
        directory.tiers.outage ?? '',
        /tier-0 .* may hold payload and is in none of storage\.tiers/,
      );
      const found = await files();
      assert.throws(() => found.use(nameOf(0)), { code: 'EIO' });
      await close();
      types = both;
      await open();
      await isWhole(0);
    });

    it('are given up by order, unless they are there', async () => {
      await written(0);
      const store = join(root, 'store');
      const other = new Store({ threads: 1 });
      const forget = (path: string) => forgetStoreTier(store, other, path);
      const path = pathOf(0);
      await assert.rejects(forget(path), /is using this directory/);
      await close();
      await assert.rejects(forget(path), /is there, and holds payload: nothing of it is lost/);
      await assert.rejects(forget('/nowhere'), /\/nowhere is no tier directory .*tier-0, .*tier-1/);
      renameSync(path, join(root, 'kept'));
      await forget(path);
      await assert.rejects(forget(path), /is no tier directory/);
      await other.shutdown();
      await open();
      assert.equal(directory.tiers.outage, null);
      const found = await files();
      assert.throws(() => found.use(nameOf(0)), { code: 'ENOENT' });
      await written(1);
      assert.equal(inTier(0), 1);
    });
  });

  describe('in memory', () => {
    beforeEach(async () => {
      await close();
      rmSync(root, { recursive: true });
      mkdirSync(root);
      types = ['MEMORY', 'HDD'];
      await open();
    });

    it('are those that nobody was promised to outlast a restart of the machine', async () => {
      await written(0, { mayLose: true });
      await written(1);
      assert.deepEqual([inTier(0), inTier(1)], [1, 1]);
      await written(2, { mayLose: true, seal: false });
      await assert.rejects((await files()).sync(nameOf(2)), { code: 'EIO', message: /is in memory/ });
      await (await files()).sync(nameOf(0));
    });

    it('are on disks when the store has stopped', async () => {
      await written(0, { mayLose: true });
      const open1 = await written(1, { mayLose: true, seal: false });
      (await files()).onEndWanted((file) => {
        assert.equal(file, nameOf(1));
        void open1.seal(MIB, false);
      });
      await directory.endMoves();
      assert.deepEqual([inTier(0), inTier(1)], [0, 2]);
      await written(2, { mayLose: true });
      assert.deepEqual([inTier(0), inTier(1)], [0, 3]);
      await close();
      rmSync(pathOf(0), { recursive: true });
      await open();
      for (const i of [0, 1, 2]) await isWhole(i);
    });

    it('are lost, and no others, when the machine restarts', async () => {
      await written(0, { mayLose: true });
      await written(1);
      await close();
      rmSync(pathOf(0), { recursive: true });
      await open();
      assert.deepEqual(
        (await files()).list('').files.map(({ file }) => file),
        [nameOf(1)],
      );
      assert.ok(statSync(pathOf(0)).isDirectory());
    });
  });
});
