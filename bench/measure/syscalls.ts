/** Counts a process's system calls: with perf's tracepoint, which costs little, or with strace, which slows the process much. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

type Tracer = 'perf' | 'strace';

const event = 'raw_syscalls:sys_enter';
const attachMs = 200;

/** `perf stat -x,` prints "count,unit,event,..."; NaN where it could not count: "<not counted>", or no such line. */
export function parsePerf(text: string): number {
  const line = text.split('\n').find((one) => one.includes(`,${event},`));
  return Number(line?.split(',')[0] ?? Number.NaN);
}

/** The line "100.00  0.002  25  80  3 total" of `strace -c`: the calls stand before the errors, which may be absent. NaN where there is none. */
export function parseStrace(text: string): number {
  const fields = /^\s*100\.00\s+(.*)\stotal\s*$/m.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
  return Number(fields[2] ?? Number.NaN);
}

function works(command: string, args: string[]): boolean {
  const { status } = spawnSync(command, args, { stdio: 'ignore' });
  return status === 0;
}

let found: Tracer | null | undefined;

/** The tool that this machine lets us use; null when there is none. */
export function tracer(): Tracer | null {
  if (found === undefined) {
    if (works('perf', ['stat', '-e', event, 'true'])) found = 'perf';
    else found = works('strace', ['-c', '-f', '-o', '/dev/null', 'true']) ? 'strace' : null;
  }
  return found;
}

/** Starts counting; the returned function ends it and resolves to the number of calls, NaN where this user may not count them. */
export async function countSyscalls(pid: number): Promise<() => Promise<number>> {
  const which = tracer();
  if (which === null) throw new Error('neither perf nor strace can be used');
  const args =
    which === 'perf' ? ['stat', '-x,', '-e', event, '-p', String(pid)] : ['-c', '-f', '-p', String(pid)];
  const child = spawn(which, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  // It may end by itself: with the process, or because it may not look into it.
  const closed = once(child, 'close');
  let output = '';
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  await sleep(attachMs);
  return async () => {
    child.kill('SIGINT');
    await closed;
    return which === 'perf' ? parsePerf(output) : parseStrace(output);
  };
}
