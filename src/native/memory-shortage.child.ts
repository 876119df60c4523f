// What memory-shortage.test.ts runs in processes of their own: memory-shortage.child.js <scenario> <directory>
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { checkBatchesAsync } from './batch.ts';
import { Store } from './store.ts';

const BIG_BYTES = 64 << 20;
/** What is copied goes through a buffer that is larger than this. */
const LEFT_FOR_COPY_BYTES = 3 << 20;

const [scenario, directory] = process.argv.slice(2);
const path = join(directory!, scenario!);

/** From now on this process gets so much more memory: less than is asked for, more than the event loop needs meanwhile. */
function limitMemory(leftBytes = BIG_BYTES / 2): void {
  globalThis.gc!();
  const used = Number(/^VmData:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  execFileSync('prlimit', ['--pid', String(process.pid), `--data=${used + leftBytes}:`]);
}

const codeOf = ({ code, message }: NodeJS.ErrnoException): string => code ?? message;

async function append(): Promise<void> {
  const store = new Store({ threads: 1, direct: false });
  const file = await store.open(path, { create: true });
  const big = Buffer.alloc(BIG_BYTES);
  limitMemory();
  try {
    file.append([big]);
  } catch (error) {
    writeSync(1, `${codeOf(error as Error)}\n`);
  }
  const { position, done } = file.append([Buffer.from('after')]);
  await done;
  writeSync(1, `${position} ${file.size} ${readFileSync(path, 'latin1')}\n`);
}

async function check(): Promise<void> {
  const big = Buffer.alloc(BIG_BYTES);
  limitMemory();
  await checkBatchesAsync(big, { maxUncompressedBytes: 1 }).catch((error) =>
    writeSync(1, `${codeOf(error)}\n`),
  );
}

async function copy(): Promise<void> {
  const store = new Store({ threads: 1, copyThreads: 1 });
  writeFileSync(path, 'what is copied');
  await store
    .copyRange(join(directory!, 'none'), path, 0, 1)
    .catch((error) => writeSync(1, `${codeOf(error)}\n`));
  limitMemory(LEFT_FOR_COPY_BYTES);
  await store.copyRange(path, `${path}.copy`, 0, 14).catch((error) => writeSync(1, `${codeOf(error)}\n`));
}

await { append, check, copy }[scenario as 'append' | 'check' | 'copy']();
