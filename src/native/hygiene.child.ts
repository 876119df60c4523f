// What hygiene.test.ts runs in processes and workers of their own: hygiene.child.js <scenario> <directory>
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { NativeMemory } from './arena.ts';
import { checkBatchesAsync } from './batch.ts';
import { Codec, compressAsync } from './codec.ts';
import { FabricTransport, PLAIN_TCP } from './fabric.ts';
import { MemoryPiece } from './pieces.ts';
import { Store } from './store.ts';

const [scenario, directory] = (workerData as string[] | null) ?? process.argv.slice(2);
const store = new Store({ threads: 2 });
const file = await store.open(join(directory!, `file-${process.pid}-${threadId}`), { create: true });

/** Operations of all kinds, none of them waited for. */
function startMuch(): Promise<unknown>[] {
  const memory = NativeMemory.allocate(100_000);
  if (!memory) throw new Error('the arena is full');
  const piece = new MemoryPiece(memory);
  const operations: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i++) {
    operations.push(
      Promise.resolve(file.append([Buffer.alloc(1000, i), piece]).done),
      file.sync(),
      file.read(0, 50_000).then((read) => read.release()),
      checkBatchesAsync(piece, { maxUncompressedBytes: 1 << 20 }),
      compressAsync(Codec.ZSTD, Buffer.alloc(50_000, i)),
    );
  }
  memory.release();
  return operations;
}

/** A transport that nobody closes, with a transfer under way to a target that does not come. */
async function startFabric(): Promise<void> {
  const way = { provider: PLAIN_TCP, domain: '', network: '' };
  const transport = await FabricTransport.open(way, { library: '', pieceBytes: 4096, window: 4 });
  await transport.registerArena();
  const peer = await transport.addPeer(transport.offer());
  const memory = NativeMemory.allocate(100_000);
  if (!memory) throw new Error('the arena is full');
  const range = BigUint64Array.of(0n, 100_000n, 1n);
  transport.read(peer, range, [{ memory, offset: 0 }], 50).done.catch(({ code }) => writeSync(1, code));
}

/** Opens transports when few descriptors are left, or none. */
async function openWithoutDescriptors(): Promise<void> {
  await Promise.all(startMuch());
  const way = { provider: PLAIN_TCP, domain: '', network: '' };
  const options = { library: '', pieceBytes: 4096, window: 4, host: '127.0.0.1' };
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  for (let left = 0; left < 3; left++) {
    const taken: number[] = [];
    try {
      for (;;) taken.push(openSync('/dev/null', 'r'));
    } catch {
      // All of them.
    }
    for (const fd of taken.splice(0, left)) closeSync(fd);
    const refused = await FabricTransport.open(way, options).catch(({ code }: { code: string }) => code);
    for (const fd of taken) closeSync(fd);
    writeSync(1, `${refused} ${descriptors() - before}\n`);
  }
  const transport = await FabricTransport.open(way, options);
  await transport.close();
}

/** Appends until the disk is full, makes room, goes on. */
async function fillDisk(): Promise<void> {
  const block = Buffer.alloc(10_000, 1);
  const appends = Array.from({ length: 100 }, () => file.append([block]));
  const outcomes = await Promise.allSettled(appends.map(({ done }) => done));
  const good = outcomes.findIndex(({ status }) => status === 'rejected');
  const codes = new Set(outcomes.slice(good).map((o) => (o as PromiseRejectedResult).reason?.code));
  const later = await file.append([block]).done!.catch((error: NodeJS.ErrnoException) => error.code);
  await file.truncate(10_000);
  const after = file.append([Buffer.from('after')]);
  await after.done;
  await file.sync();
  const read = await file.read(9_999, 100);
  const text = Buffer.from(read.bytes()).toString('latin1');
  read.release();
  writeSync(1, JSON.stringify({ good, codes: [...codes], later, position: after.position, text }));
}

if (scenario === 'finish') {
  void Promise.all(startMuch()).then(() => writeSync(1, 'finished'));
} else if (scenario === 'exit') {
  for (const operation of startMuch()) operation.catch(() => {});
  setImmediate(() => process.exit(0));
} else if (scenario === 'throw') {
  for (const operation of startMuch()) operation.catch(() => {});
  throw new Error('on purpose');
} else if (scenario === 'idle') {
  await Promise.all(startMuch());
} else if (scenario === 'worker') {
  for (const operation of startMuch()) operation.catch(() => {});
  parentPort?.postMessage('started');
} else if (scenario === 'fabric') {
  await startFabric();
} else if (scenario === 'fabric-exit') {
  await startFabric();
  process.exit(0);
} else if (scenario === 'no-descriptors') {
  await openWithoutDescriptors();
} else if (scenario === 'fill-disk') {
  await fillDisk();
} else throw new Error(`unknown scenario ${scenario}`);
