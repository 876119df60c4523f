import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { StreamsError } from './errors.ts';
import { FileValues } from './stores/file-values.ts';
import { IntervalStore } from './stores/interval-store.ts';
import { KeyValueStore } from './stores/key-value-store.ts';
import { MemoryBudget, MemoryValues } from './stores/value-storage.ts';

const MEBIBYTE = 1 << 20;

describe('stores of streams', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'kafabric-stores-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('values in a file stay what they are while garbage is removed, and leave nothing behind', () => {
    const values = new FileValues(join(directory, 'values'));
    const budget = new MemoryBudget(MEBIBYTE);
    const store = new KeyValueStore('s', values, budget, () => undefined);
    const written = new Map<string, Buffer>();
    for (let i = 0; i < 60; i++) {
      const value = Buffer.alloc(MEBIBYTE, `value ${i} `);
      written.set(`k${i % 5}`, value);
      store.put(Buffer.from(`k${i % 5}`), value, i);
    }
    const files = () => readdirSync(directory).map((name) => statSync(join(directory, name)).size);
    assert.ok(Math.max(...files()) < 30 * MEBIBYTE, `${files()} bytes on disk`);
    for (const [key, value] of written) assert.ok(store.get(Buffer.from(key))?.value.equals(value), key);
    assert.ok(budget.used < 2000, `${budget.used} bytes of memory`);
    store.close();
    assert.deepEqual(readdirSync(directory), []);
    assert.equal(budget.used, 0);
  });

  it('a changelog makes the same store again', () => {
    const key = fc.constantFrom('a', 'b', 'ab');
    const change = fc.tuple(key, fc.nat(50), fc.nat(2), fc.option(fc.string()), fc.nat(3));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 50 }), (changes) => {
        const budget = new MemoryBudget(MEBIBYTE);
        const log: [Buffer, Buffer | null, number][] = [];
        const open = (changed: (...one: [Buffer, Buffer | null, number]) => void) =>
          new IntervalStore(
            's',
            { retentionMs: 20, expireBy: 'start' },
            new MemoryValues(budget, 's'),
            budget,
            changed,
          );
        const store = open((...one) => log.push(one));
        const expected = new Map<string, string>();
        let now = 0;
        for (const [name, start, tag, value, step] of changes) {
          now += step;
          store.put(Buffer.from(name), start, tag, value === null ? null : Buffer.from(value), now);
          if (value === null) expected.delete(`${name} ${start} ${tag}`);
          else expected.set(`${name} ${start} ${tag}`, value);
          store.expire(now);
        }
        const contents = (one: IntervalStore) =>
          new Map(
            [...one.entries()].map(([name, { start, tag, value }]) => [
              `${name} ${start} ${tag}`,
              `${value}`,
            ]),
          );
        const again = open(() => assert.fail('a restored store writes no changelog'));
        for (const one of log) again.restore(...one);
        assert.deepEqual(contents(again), contents(store));
        // Nothing goes before its time.
        for (const [name, value] of expected)
          if (Number(name.split(' ')[1]) + 20 >= now) assert.equal(contents(store).get(name), value);
        store.close();
        again.close();
        assert.equal(budget.used, 0);
      }),
    );
  });

  it('a long history of windows in a changelog is nothing to those that are left', () => {
    const budget = new MemoryBudget(MEBIBYTE);
    const options = { retentionMs: 4, expireBy: 'start' as const };
    const store = new IntervalStore('s', options, new MemoryValues(budget, 's'), budget, () => undefined);
    const windows = 300_000;
    for (let i = 0; i < windows; i++) {
      const key = Buffer.alloc(17, 'k');
      key.writeBigInt64BE(BigInt(100 * i), 1);
      key.writeBigInt64BE(0n, 9);
      store.restore(key, Buffer.from('v'), 100 * i);
      if (i < windows - 1) store.restore(key, null, 100 * i + 50);
    }
    assert.equal(store.size, 1);
    store.expire(100 * windows);
    assert.equal(store.size, 0);
    assert.equal(budget.used, 0);
  });

  it('state has a limit that says what to do', () => {
    const budget = new MemoryBudget(1000);
    const store = new KeyValueStore('s', new MemoryValues(budget, 's'), budget, () => undefined);
    store.put(Buffer.from('k'), Buffer.alloc(500), 0);
    assert.throws(
      () => store.put(Buffer.from('l'), Buffer.alloc(500), 0),
      (error: StreamsError) => error.code === 'STORE_FULL' && /stateDir/.test(error.message),
    );
  });
});
