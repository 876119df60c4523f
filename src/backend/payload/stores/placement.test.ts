import assert from 'node:assert/strict';
import { chooseStores } from './placement.ts';
import { type CopyState, planRepair } from './repair-plan.ts';

const stores = Array.from({ length: 12 }, (_, i) => ({ id: `s${i}`, zone: `z${i % 4}` }));
const names = Array.from({ length: 2000 }, (_, i) => `t-0/${i}`);

describe('chooseStores', () => {
  it('spreads segments evenly, each over different zones', () => {
    const counts = new Map<string, number>();
    for (const name of names) {
      const chosen = chooseStores(name, stores, 3);
      assert.equal(new Set(chosen.map(({ zone }) => zone)).size, 3);
      for (const { id } of chosen) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    const mean = (names.length * 3) / stores.length;
    for (const count of counts.values()) assert.ok(Math.abs(count - mean) < mean / 4, String(count));
  });

  it('changes little when a store goes', () => {
    const left = stores.slice(1);
    for (const name of names) {
      const before = chooseStores(name, stores, 2).map(({ id }) => id);
      const after = chooseStores(name, left, 2).map(({ id }) => id);
      if (!before.includes('s0')) assert.deepEqual(after, before);
      else assert.ok(before.some((id) => after.includes(id)));
    }
  });

  it('takes stores of one zone when there are no others, and as many as there are', () => {
    const same = [
      { id: 'a', zone: 'z' },
      { id: 'b', zone: 'z' },
    ];
    assert.equal(chooseStores('t', same, 2).length, 2);
    assert.equal(chooseStores('t', same, 5).length, 2);
    // Without zones every store is its own.
    assert.equal(
      chooseStores(
        't',
        [
          { id: 'a', zone: '' },
          { id: 'b', zone: '' },
        ],
        2,
      ).length,
      2,
    );
  });
});

describe('planRepair', () => {
  const copy = (store: string, presence: CopyState['presence'] = 'in', doubtful = false): CopyState => ({
    store,
    presence,
    doubtful,
    damaged: false,
  });

  it('waits for a store that is away, and not for one that is lost', () => {
    assert.deepEqual(planRepair([copy('a'), copy('b')], 2).isNeeded, false);
    assert.equal(planRepair([copy('a'), copy('b', 'away')], 2).isNeeded, false);
    assert.equal(planRepair([copy('a'), copy('b', 'lost')], 2).lacking, 1);
    assert.equal(planRepair([copy('a'), copy('b', 'draining')], 2).lacking, 1);
  });

  it('drops copies only when there are enough whole ones', () => {
    assert.deepEqual(planRepair([copy('a'), copy('b', 'lost')], 2).dropped, []);
    assert.deepEqual(planRepair([copy('a'), copy('b', 'lost'), copy('c')], 2).dropped, ['b']);
    assert.deepEqual(planRepair([copy('a'), copy('b', 'draining'), copy('c')], 2).dropped, ['b']);
    assert.deepEqual(planRepair([copy('a'), copy('b'), copy('c')], 2).kept, ['a', 'b']);
    assert.deepEqual(planRepair([copy('a', 'in', true), copy('b')], 1).kept, ['a', 'b']);
    assert.equal(planRepair([copy('a', 'in', true), copy('b')], 1).isNeeded, true);
    const damaged = { ...copy('a', 'in', true), damaged: true };
    assert.deepEqual(planRepair([damaged, copy('b')], 2).kept, ['a', 'b']);
    assert.deepEqual(planRepair([damaged, copy('b'), copy('c')], 2).dropped, ['a']);
  });
});
