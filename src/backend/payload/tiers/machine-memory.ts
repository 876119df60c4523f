import { readFile, statfs } from 'node:fs/promises';

const TMPFS = 0x01021994;
/** What of the machine's memory a tier leaves to others: one part in so many. */
const RESERVED_SHARE = 16;

/** Rejects with an Error for people unless a directory is in memory, where it can be empty after a restart of the machine and only then. */
export async function assertInMemory(path: string): Promise<void> {
  const { type } = await statfs(path);
  if (type !== TMPFS)
    throw new Error(
      'it is on no tmpfs, as a tier of the type MEMORY must be: name a directory in /dev/shm, mount a tmpfs there, or use another type',
    );
}

/** Bytes of memory that tiers may still take: what programs can have now in this machine or container, but for a part of all of it. */
export async function memoryForTiers(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const bytesOf = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, bytesOf('MemTotal')) : bytesOf('MemTotal');
  // Of a container, since Node 20.13.
  const inContainer = process.availableMemory?.() ?? total;
  return Math.max(0, Math.min(bytesOf('MemAvailable'), inContainer) - total / RESERVED_SHARE);
}
