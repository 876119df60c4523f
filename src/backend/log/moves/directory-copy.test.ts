import assert from 'node:assert/strict';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { FaultyFileSystem } from '../testing/faulty-file-system.ts';
import { DirectoryCopy } from './directory-copy.ts';
import { isClosed, isKept, SEAL } from './moved-files.ts';

const FROM = '/a/t-0';
const TO = '/b/t-0.0123-future';

describe('The copy of a directory', () => {
  let now: number;
  let files: FaultyFileSystem;
  let steps: number;

  beforeEach(() => {
    now = 1000;
    steps = 0;
    files = new FaultyFileSystem(new SeededRandom(1), () => now);
  });

  const pace = { next: async () => void steps++, copied: () => {} };
  const make = () => new DirectoryCopy(files, FROM, TO, pace);
  const put = (name: string, text: string) => files.put(`${FROM}/${name}`, Buffer.from(text));
  const there = () =>
    Object.fromEntries(
      files
        .paths()
        .filter((path) => path.startsWith(TO))
        .map((path) => [path.slice(TO.length + 1), Buffer.from(files.bytes(path)).toString()]),
    );

  it('gets what is new and changed, once, and loses what is gone', async () => {
    const copy = make();
    put('a', 'one');
    put('payload/b', 'two');
    put('empty', '');
    await copy.update(() => true);
    assert.deepEqual(there(), { a: 'one', 'payload/b': 'two', empty: '' });
    assert.equal(steps, 3);
    await copy.update(() => true);
    assert.equal(steps, 3);
    now++;
    put('a', 'new');
    put('c', 'more');
    await files.remove(`${FROM}/payload/b`);
    await copy.update(() => true);
    assert.deepEqual(there(), { a: 'new', c: 'more', empty: '' });
    assert.equal(
      copy.bytes((name) => name !== 'empty'),
      7,
    );
  });

  it('goes on with what an earlier process has copied, if that is still so', async () => {
    put('a', 'one');
    put('b', 'two');
    await make().update(() => true);
    files.put(`${TO}/c.moving`, Buffer.from('half'));
    now += 10;
    put('b', 'TWO');
    steps = 0;
    await make().update(() => true);
    assert.deepEqual(there(), { a: 'one', b: 'TWO' });
    assert.equal(steps, 1);
  });

  it('is content when a file goes while it is copied, and not when it cannot be copied', async () => {
    put('a', 'one');
    put('b', 'two');
    files.fault = (operation, path) => {
      if (operation !== 'publishCopy' || !path.endsWith('/a')) return null;
      void files.remove(`${FROM}/a`);
      return 'EIO';
    };
    const copy = make();
    await copy.update(() => true);
    files.fault = (operation) => (operation === 'copyRange' ? 'EIO' : null);
    put('c', 'three');
    await assert.rejects(
      copy.update(() => true),
      { code: 'EIO' },
    );
    files.fault = () => null;
    await copy.update(() => true);
    assert.deepEqual(there(), { b: 'two', c: 'three' });
  });

  it('has whole files after a power failure at any time', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = new SeededRandom(seed);
      files = new FaultyFileSystem(random, () => now);
      for (let i = 0; i < 10; i++) put(`f${i}`, `content ${i} `.repeat(i + 1));
      let calls = random.below(40);
      const mounted = files.mount();
      files.fault = () => {
        if (calls-- === 0) files.crash({ power: true });
        return null;
      };
      await Promise.race([
        new DirectoryCopy(mounted, FROM, TO, pace).update(() => true),
        new Promise((resolve) => setImmediate(resolve)),
      ]);
      files.fault = () => null;
      for (const [name, text] of Object.entries(there()))
        if (!name.endsWith('.moving'))
          assert.equal(text, Buffer.from(files.bytes(`${FROM}/${name}`)).toString());
      await make().update(() => true);
      assert.equal(Object.keys(there()).length, 10, `seed ${seed}`);
    }
  });
});

describe('What moves of a partition', () => {
  const log = (offset: number, suffix: string) => `${String(offset).padStart(20, '0')}${suffix}`;

  it('in the background is what is closed', () => {
    const all = new Map([[`payload/${log(1, '.extents')}`, null]]);
    const closed = (name: string) => isClosed(name, all, 10n);
    assert.ok(
      closed(log(9, '.log')) && closed(log(9, '.snapshot')) && closed(`payload/${log(1, '.payload')}`),
    );
    for (const name of [log(10, '.log'), log(2, '.log.deleted'), `payload/${log(2, '.payload')}`, SEAL])
      assert.ok(!closed(name), name);
  });

  it('in the end is everything that is not on its way', () => {
    for (const name of [log(10, '.log'), 'leader-epoch-checkpoint', `payload/${log(0, '.stores')}`])
      assert.ok(isKept(name), name);
    for (const name of ['x.tmp', log(1, '.log.cleaned'), log(1, '.log.swap'), SEAL])
      assert.ok(!isKept(name), name);
  });
});
