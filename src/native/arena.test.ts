import assert from 'node:assert/strict';
import { arenaStats, configureArena, NativeMemory } from './arena.ts';
import { MemoryPiece } from './pieces.ts';

describe('NativeMemory', () => {
  const allocate = (byteLength: number): NativeMemory => {
    const memory = NativeMemory.allocate(byteLength);
    assert.ok(memory);
    return memory;
  };

  it('gives back its range when the last reference goes', () => {
    const before = arenaStats().usedBytes;
    const memory = allocate(10_000);
    memory.bytes().fill(7);
    const slice = memory.slice(100, 50);
    const copy = slice.retain();
    assert.equal(arenaStats().usedBytes, before + 12_288);
    memory.release();
    assert.deepEqual([...slice.bytes()], new Array(50).fill(7));
    slice.release();
    copy.release();
    assert.equal(arenaStats().usedBytes, before);
  });

  it('reports a double release and any use after it', () => {
    const memory = allocate(1);
    memory.release();
    assert.throws(() => memory.release(), /released already/);
    assert.throws(() => memory.bytes(), /released already/);
    assert.throws(() => memory.slice(0, 1), /released already/);
  });

  it('checks ranges', () => {
    const memory = allocate(100);
    assert.throws(() => memory.slice(90, 11), RangeError);
    assert.throws(() => new MemoryPiece(memory, 101), RangeError);
    assert.equal(new MemoryPiece(memory, 90).byteLength, 10);
    memory.release();
  });

  it('answers null when there is no room', () => {
    assert.equal(NativeMemory.allocate(2 ** 45), null);
    assert.throws(() => NativeMemory.allocate(0), RangeError);
  });

  it('cannot be resized once in use', () => {
    assert.throws(() => configureArena(arenaStats().capacityBytes * 2), /in use/);
    configureArena(arenaStats().capacityBytes);
  });
});
