// What memory-shortage.test.ts runs in processes of their own: memory-shortage.child.js <scenario> <directory>
import { execFileSync } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { checkBatchesAsync } from './batch.ts';
import { Store } from './store.ts';

/** Above what the event loop needs meanwhile, below what is asked for. */
const LEFT_BYTES = 1 << 20;
const BIG_BYTES = 64 << 20;

const [scenario, directory] = process.argv.slice(2);
const path = join(directory!, scenario!);
const big = Buffer.alloc(BIG_BYTES);

/** From now on this process gets hardly any more memory. */
function limitMemory(): void {
  const used = Number(/^VmData:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  execFileSync('prlimit', ['--pid', String(process.pid), `--data=${used + LEFT_BYTES}:`]);
}

const codeOf = ({ code, message }: NodeJS.ErrnoException): string => code ?? message;

async function append(): Promise<void> {
  const store = new Store({ threads: 1, direct: false });
  const file = await store.open(path, { create: true });
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
  limitMemory();
  await checkBatchesAsync(big, { maxUncompressedBytes: 1 }).catch((error) =>
    writeSync(1, `${codeOf(error)}\n`),
  );
}

await { append, check }[scenario as 'append' | 'check']();
