import { readFileSync } from 'node:fs';

/** Bytes of a process that runs which are its alone, without files and shared memory. */
export function anonymousBytes(pid: number): number {
  const found = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found![1]) * 1024;
}
