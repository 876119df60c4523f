import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, release } from 'node:os';
import { arenaDirectories, assertArenaDirectory } from '../../broker/arena-directory.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { crc32cImplementation } from '../../native/batch.ts';
import { abandonedMemory } from '../../native/journal.ts';
import { arenaBytes, memoryBytes } from '../memory.ts';
import { binaryBytes, type Finding, note, ok, problem } from './finding.ts';
import { checkHugePages } from './huge-pages.ts';
import { mountOf, readMounts } from './mounts.ts';

/** Files, connections and partitions each take descriptors. */
const ENOUGH_FILES = 65_536;
/** As native/arena has it: what its file has before the data, and the share of a tmpfs that it leaves. */
const HEADER_BYTES = 16 << 20;
const LEFT_SHARE = 1 / 16;
/** Of which nothing is left. */
const HUGETLBFS = 0x958458f6;

/** Processor, memory and the process' limits. */
export async function checkMachine(config: KafabricConfig): Promise<Finding[]> {
  const limits = await readText('/proc/self/limits');
  return [
    ok('machine', `Node ${process.version}, Linux ${release()}, ${availableParallelism()} processors`),
    checksums(),
    arena(config),
    await sharedMemory(config),
    ...(await abandoned(config)),
    await checkHugePages(config),
    openFiles(limits),
    lockedMemory(limits, arenaBytes(config)),
  ];
}

function checksums(): Finding {
  if (crc32cImplementation !== 'table')
    return ok('machine', `CRC-32C by the processor (${crc32cImplementation})`);
  return note('machine', 'this processor has no instruction for CRC-32C: each produced byte costs more');
}

function arena(config: KafabricConfig): Finding {
  const bytes = arenaBytes(config);
  const available = memoryBytes();
  const text = `arena.bytes ${binaryBytes(bytes)} of ${binaryBytes(available)} memory`;
  if (bytes <= available / 2) return ok('memory', text);
  return problem('memory', text, 'set arena.bytes to at most half of the memory; a quarter is the default');
}

/** What log.ack=memory needs. */
async function sharedMemory(config: KafabricConfig): Promise<Finding> {
  const bytes = arenaBytes(config);
  const directory = config.get('arena.directory');
  if (config.get('log.ack') === 'disk')
    return ok('memory', `answers come from the disk (log.ack=disk): ${directory} is not needed`);
  try {
    await assertArenaDirectory(config);
  } catch (error) {
    return problem('memory', (error as Error).message, 'the gateway does not start with it');
  }
  const found = await statfs(directory).catch(() => null);
  if (found === null)
    return problem('memory', `${directory} cannot be used`, 'mount a tmpfs there, or set log.ack=disk');
  // Of a hugetlbfs without a limit of its own.
  if (found.blocks <= 0) return ok('memory', `${directory} has no limit of its own`);
  const free = found.bavail * found.bsize;
  const total = found.blocks * found.bsize;
  const needed = sharedBytes(bytes, found.type === HUGETLBFS ? 0 : total);
  const text = `${directory} has room for ${binaryBytes(free)}, the arena needs ${binaryBytes(needed)} of it`;
  if (free >= needed) return ok('memory', `${text}: answers come from memory (log.ack=memory)`);
  if (total >= needed)
    return note('memory', text, 'fine if what fills it is the arena of a gateway that runs');
  const size = Math.ceil(tmpfsBytes(bytes, total - free) / 2 ** 20);
  const advice = `mount -o remount,size=${size}m ${mountOf(directory, await readMounts())?.at ?? directory}, with Docker --shm-size, or a smaller arena.bytes, or log.ack=disk`;
  return problem('memory', `${text}: every answer would wait for the disk`, advice);
}

/** What has to be free of a tmpfs for an arena: itself, what its file has before it, and what is left to others. */
export function sharedBytes(arena: number, tmpfs: number): number {
  return arena + HEADER_BYTES + Math.floor(tmpfs * LEFT_SHARE);
}

/** How large a tmpfs is that has room for an arena beside what others have there. */
export function tmpfsBytes(arena: number, others: number): number {
  return Math.ceil((arena + HEADER_BYTES + others) / (1 - LEFT_SHARE));
}

/** What killed processes have left in shared memory. */
async function abandoned(config: KafabricConfig): Promise<Finding[]> {
  return (await abandonedMemory(false, arenaDirectories(config))).map(({ path, bytes, entries, file }) => {
    const text = `${path} is left of a process that was killed, and takes ${binaryBytes(bytes)}`;
    if (entries === 0) return note('memory', text, 'the next start of any gateway or store removes it');
    return note(
      'memory',
      `${text}; it has ${entries} acknowledged appends that are not on the disk, of ${file} among others`,
      'a start with these data directories writes them to their files; remove it only if these are given up',
    );
  });
}

function openFiles(limits: string): Finding {
  const limit = softLimit(limits, 'Max open files');
  const text = `up to ${Number.isFinite(limit) ? limit : 'any number of'} open files`;
  if (limit >= ENOUGH_FILES) return ok('machine', text);
  return note(
    'machine',
    text,
    `each connection takes one, and each partition in use some: ulimit -n ${ENOUGH_FILES}, or LimitNOFILE= of a systemd unit`,
  );
}

function lockedMemory(limits: string, bytes: number): Finding {
  const limit = softLimit(limits, 'Max locked memory');
  const text = `up to ${Number.isFinite(limit) ? binaryBytes(limit) : 'any amount of'} locked memory`;
  if (limit >= bytes) return ok('machine', text);
  return note(
    'machine',
    text,
    'RDMA cards need as much as arena.bytes: ulimit -l unlimited, or LimitMEMLOCK=infinity',
  );
}

/** A line of /proc/self/limits; infinity where there is none. */
export function softLimit(limits: string, name: string): number {
  const value = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(limits)?.[1];
  return value === undefined || value === 'unlimited' ? Number.POSITIVE_INFINITY : Number(value);
}

/** The file's text; nothing where there is no such file. */
async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
