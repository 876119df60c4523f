// What store-memory.test.ts runs in processes of their own: store-memory.child.js <kill|exit|shutdown> <name> <directory> [<arena.directory>]
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { arenaShared, configureArena, NativeMemory } from './arena.ts';
import { MemoryPiece } from './pieces.ts';
import { Store } from './store.ts';

const [scenario, name, directory, memory] = process.argv.slice(2) as [string, string, string, string?];
configureArena(64 << 20, name, memory);
assert.equal(arenaShared().shared, true);
const store = new Store({ threads: 1 });
const file = await store.open(join(directory, 'log'), { create: true });

const first = file.append([Buffer.alloc(1000, 'a')], { fromMemory: true });
assert.ok(first.done, 'there is no space for it yet');
await first.done;
let acknowledged = 0;
for (let i = 0; i < 20; i++) {
  const range = NativeMemory.allocate(500)!;
  range.bytes().fill(66 + i);
  const bytes = i % 2 === 0 ? Buffer.alloc(500, 66 + i) : new MemoryPiece(range);
  const { position, done } = file.append([bytes], { fromMemory: true });
  range.release();
  if (done === null) acknowledged++;
  assert.equal(position, 1000 + i * 500);
  const found = file.findChecked(position, 500)!;
  assert.deepEqual(Buffer.from(found.bytes()), Buffer.alloc(500, 66 + i));
  found.memory.release();
}
const asked = file.append([Buffer.from('end')]);
assert.ok(asked.done, 'it was not content with memory');
const { acknowledged: counted } = store.stats();
writeSync(1, JSON.stringify({ acknowledged, counted, size: file.size }));
if (scenario === 'kill') process.kill(process.pid, 'SIGKILL');
if (scenario === 'shutdown') await store.shutdown();
process.exit(0);
