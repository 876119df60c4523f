import assert from 'node:assert/strict';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { StoreError } from './messages.ts';
import type { KnownPartitions, PayloadStores } from './payload-stores.ts';
import { StoreComparison, type StrayKind } from './store-comparison.ts';
import type { StorePeer } from './store-peer.ts';
import { generationOf, newIncarnation, parseStoredName, storedName } from './stored-name.ts';
import { Strays } from './strays.ts';

const PARTITION = 't-0.AAAAAAAAAAAAAAAAAAAABQ';
const GRACE_MS = 60_000;

describe('Files of nobody at a store', () => {
  const known = (over: Partial<KnownPartitions> = {}): KnownPartitions => ({
    has: () => false,
    isEmpty: false,
    directoryIds: ['one', 'two'],
    ...over,
  });
  const nameFrom = (directoryId: string) => {
    const incarnation = newIncarnation(directoryId);
    return { partition: PARTITION, segment: 7, incarnation };
  };

  it('are those that log directories of this gateway have made, and whose partition is known', () => {
    const strays = new Strays();
    assert.equal(strays.kindOf(nameFrom('two'), known(), false), 'orphan');
    assert.equal(strays.kindOf(nameFrom('three'), known(), false), 'foreign');
    assert.equal(strays.kindOf(nameFrom('two'), known({ isEmpty: true }), false), 'unknown');
    assert.equal(strays.kindOf(nameFrom('two'), known({ has: () => true }), false), 'unknown');
    assert.equal(strays.kindOf(nameFrom('two'), known({ has: () => true }), true), 'orphan');
    const file = storedName(nameFrom('one'));
    assert.equal(strays.isGone(PARTITION, file), false);
    strays.fileGone(file);
    assert.equal(strays.isGone(PARTITION, file), true);
    strays.partitionRemoved(PARTITION);
    assert.equal(strays.isGone(PARTITION, 'another'), true);
    assert.deepEqual(parseStoredName(file)!.incarnation.slice(0, 8), generationOf('one'));
  });

  it('go when they have been that for a while, those that were given up at once, others never', async () => {
    const clock = new VirtualClock();
    const kinds = new Map<string, StrayKind>([
      ['a', 'orphan'],
      ['b', 'foreign'],
      ['c', 'unknown'],
      ['d', 'gone'],
    ]);
    const files = new Set(kinds.keys());
    const peer = {
      id: 's',
      request: async (operation: { op: string; file: string }) => {
        assert.equal(operation.op, 'remove');
        files.delete(operation.file);
      },
      async *files() {
        for (const file of [...files]) yield { file, bytes: 1, sealed: true };
      },
    } as unknown as StorePeer;
    let removed = 0;
    const comparison = new StoreComparison({
      stores: {
        segments: [],
        ownerOf: (_: string, { file }: { file: string }) => kinds.get(file),
      } as unknown as PayloadStores,
      clock,
      logger: silentLogger,
      orphanGraceMs: GRACE_MS,
      found: () => assert.fail(),
      removed: () => {
        removed++;
      },
    });
    const compare = () => comparison.compare(peer, () => true);
    await compare();
    assert.deepEqual([...files], ['a', 'b', 'c']);
    assert.equal(comparison.foreignFiles, 1);
    clock.tick(GRACE_MS - 1);
    await compare();
    assert.ok(files.has('a'));
    // Somebody refers to it after all, for a while.
    kinds.set('a', 'unknown');
    await compare();
    kinds.set('a', 'orphan');
    clock.tick(1);
    await compare();
    assert.ok(files.has('a'));
    clock.tick(GRACE_MS);
    await compare();
    assert.deepEqual([...files], ['b', 'c']);
    assert.equal(removed, 2);
  });

  it('are not sought at another store that is at its address by now', async () => {
    const peer = {
      id: 's',
      request: async () => {
        peer.id = 'another';
        throw new StoreError('ENOENT', 'it is not there');
      },
      async *files() {},
    };
    const copies = ['s', 't'].map((store) => ({ store, file: `at ${store}` }));
    const segment = { isComplete: true, copies, setCopies: () => assert.fail() };
    const comparison = new StoreComparison({
      stores: { segments: [segment], has: () => true } as unknown as PayloadStores,
      clock: new VirtualClock(),
      logger: silentLogger,
      orphanGraceMs: GRACE_MS,
      found: () => assert.fail(),
      removed: () => assert.fail(),
    });
    await comparison.compare(peer as unknown as StorePeer, () => true);
  });
});
