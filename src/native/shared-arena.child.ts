// What shared-arena.test.ts runs in processes of their own: shared-arena.child.js <scenario> <name>
import { readdirSync, rmSync, writeSync } from 'node:fs';
import {
  arenaShared,
  arenaStats,
  configureArena,
  NativeMemory,
  releaseSharedArena,
  startTouchingArena,
} from './arena.ts';

const [scenario, name] = process.argv.slice(2);
const MIB = 1 << 20;

if (scenario === 'too-large') {
  configureArena(2 ** 42, name);
  writeSync(1, JSON.stringify(arenaShared()));
} else {
  configureArena(32 * MIB, name);
  // A view of the arena is made before any of it is backed.
  const memory = NativeMemory.allocate(MIB)!;
  memory.bytes().fill(65);
  startTouchingArena();
  if (scenario === 'touch') {
    while (arenaStats().touchedBytes < 8 * MIB) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (scenario === 'removed') {
    const own = readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.${process.pid}-`));
    for (const file of own) rmSync(`/dev/shm/${file}`);
  }
  const { backedBytes, touchedBytes } = arenaStats();
  const report = { ...arenaShared(), backedBytes, touchedBytes };
  if (scenario === 'release') writeSync(1, JSON.stringify([releaseSharedArena(), arenaShared().shared]));
  else writeSync(1, JSON.stringify(report));
  if (scenario === 'exit') process.exit(0);
  if (scenario === 'throw') throw new Error('on purpose');
  if (scenario === 'kill') process.kill(process.pid, 'SIGKILL');
}
