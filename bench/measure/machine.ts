import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { bytesText } from '../model.ts';

function output(command: string, args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch {
    return '';
  }
}

/** The file system of a path: type and device, without its place. */
function fileSystem(path: string): string {
  return output('df', ['--output=fstype', path]).split('\n').at(-1)?.trim() || 'unknown';
}

function cpuFlags(): string {
  try {
    return /^flags\s*:.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? '';
  } catch {
    return '';
  }
}

export function describeMachine(dataFolder: string): Record<string, string> {
  return {
    processor: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`,
    memory: bytesText(totalmem()),
    virtualization: /hypervisor/.test(cpuFlags()) ? 'a virtual machine' : 'none seen',
    kernel: `Linux ${release()}`,
    'file system': fileSystem(dataFolder),
    network: 'loopback',
    node: process.version,
  };
}

let dropped: boolean | undefined;

/** Empties the page cache; false when this user may not. */
export function dropCaches(): boolean {
  try {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    dropped = true;
  } catch {
    dropped = false;
  }
  return dropped;
}

let levelled = false;

/** How long a kernel takes to give memory that is free back to its host. */
const REPORT_MS = 5000;

/**
 * The same memory for whoever comes next: free memory that was in use just before is cheaper in a virtual machine than what its host has to
 * find first. Joins what is free, so that a host takes it back; nothing without root, which it needs.
 */
export async function levelMemory(): Promise<void> {
  try {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/compact_memory', '1');
    await setTimeout(REPORT_MS);
    levelled = true;
  } catch {
    levelled = false;
  }
}

/** Whether each system found level memory, for the report. */
export function memoryText(): string {
  return levelled
    ? 'joined before each system starts, so that a host takes it back'
    : 'left as it was: that needs root';
}

/** Whether history was read with an empty page cache, for the report. */
export function cachesText(): string {
  if (dropped === undefined) return 'not needed';
  return dropped ? 'dropped before reading history' : 'not dropped: that needs root';
}
