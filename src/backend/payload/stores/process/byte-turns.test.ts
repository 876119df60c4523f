import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { arenaStats, NativeMemory } from '../../../../native/arena.ts';
import type { AttachedTarget } from '../../../../native/fabric-attach.ts';
import { MemoryPiece } from '../../../../native/pieces.ts';
import { VirtualClock } from '../../../../util/testing/virtual-clock.ts';
import { FILE } from '../testing.ts';
import { ByteTurns } from './byte-turns.ts';
import type { GatewayFiles } from './gateway-files.ts';
import { Operations, type OperationsOptions, READ_BYTES } from './operations.ts';

const TIMEOUT_MS = 1000;
const BYTES = READ_BYTES / 4;

describe('Reads of a gateway that takes slowly what it asks for', () => {
  it('have no more memory at a time than may be theirs, and fail when they have none in time', async () => {
    const clock = new VirtualClock();
    /** What each that is on its way ends with. */
    const taken: (() => void)[] = [];
    const target = {
      peer: 1,
      memory: { attachment: 1n, resolve: () => BigUint64Array.of(0n, 1n, 0n) },
      transport: { write: () => ({ done: new Promise<void>((resolve) => taken.push(resolve)) }) },
    } as unknown as AttachedTarget;
    const file = {
      recent: async () => null,
      read: async (_position: number, length: number) => {
        return { piece: new MemoryPiece(NativeMemory.allocate(length)!), crc32c: 0 };
      },
    };
    const operations = new Operations({
      files: { use: () => file } as unknown as GatewayFiles,
      reads: new ByteTurns(clock, READ_BYTES),
      relays: { end: () => undefined },
      counters: { writtenBytes: 0, readBytes: 0, checkedBytes: 0, operations: 0, failures: 0 },
      clock,
    } as unknown as OperationsOptions);
    const range = { position: 0, length: BYTES, seed: 0, target: 0, key: '0', timeoutMs: TIMEOUT_MS };
    const run = (id: number) =>
      operations.run({ op: 'read', file: FILE, ...range }, BigInt(id), target, 'gateway');
    const reads = Array.from({ length: 8 }, (_, i) => run(i + 1));
    await setImmediate();
    assert.deepEqual([taken.length, arenaStats().usedBytes], [4, READ_BYTES]);
    taken[0]!();
    await reads[0];
    await setImmediate();
    assert.deepEqual([taken.length, arenaStats().usedBytes], [5, READ_BYTES]);
    const late = reads.slice(5).map((read) => assert.rejects(read, { code: 'ETIMEDOUT' }));
    clock.tick(TIMEOUT_MS);
    await Promise.all(late);
    const gone = assert.rejects(run(9), { code: 'ENOTCONN' });
    operations.end('the gateway is gone');
    await gone;
    for (const take of taken) take();
    await Promise.all(reads.slice(0, 5));
    assert.deepEqual([clock.pending, arenaStats().usedBytes], [0, 0]);
  });
});
