import { access, constants, mkdtemp, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type KafabricConfig, tierKind } from '../../config/index.ts';
import { NativeMemory } from '../../native/arena.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { Store } from '../../native/store.ts';
import type { StoreFile } from '../../native/store-file.ts';
import { binaryBytes, type Finding, note, ok, type Progress, problem } from './finding.ts';

/** What statfs calls file systems that are met often. */
const FILE_SYSTEMS: Record<number, string> = {
  61267: 'ext4',
  1481003842: 'XFS',
  2435016766: 'Btrfs',
  16914836: 'tmpfs',
  26985: 'NFS',
  2035054128: 'overlayfs',
  801189825: 'ZFS',
  198183888: 'Lustre',
};
const LOW_SHARE = 0.05;
const FLUSHES = 9;
const WRITE_BYTES = 64 << 20;
const PIECE_BYTES = 1 << 20;

/** A path that is written to, and the key that names it. */
interface Place {
  readonly path: string;
  readonly key: string;
}

/** Each directory on a disk, of logs, storage tiers, or a store: whether it can be used, and what its device takes. */
export async function checkDisks(
  config: KafabricConfig,
  measure: boolean,
  progress: Progress = () => undefined,
): Promise<Finding[]> {
  const store = new Store({ threads: 4, direct: config.get('log.direct.io.enable') });
  try {
    const findings: Finding[] = [];
    for (const place of placesOf(config)) {
      progress(place.path);
      findings.push(...(await checkDirectory(store, place, measure)));
    }
    return findings;
  } finally {
    await store.shutdown();
  }
}

function placesOf(config: KafabricConfig): Place[] {
  const { logDirs, tiers } = config.resolved;
  const stored = config.get('payload.store.dir');
  const places = logDirs.map((path) => ({ path, key: 'log.dirs' }));
  for (const { type, ordinal, paths } of tiers) {
    // Memory is looked at elsewhere, and so are buckets.
    const { isVolatile, isPersistentMemory } = tierKind(type);
    if (isVolatile || isPersistentMemory || type === 'S3') continue;
    for (const { path } of paths) places.push({ path, key: `storage.tiers.${ordinal}.paths` });
  }
  if (stored !== '') places.push({ path: resolve(stored), key: 'payload.store.dir' });
  return places;
}

async function checkDirectory(store: Store, { path, key }: Place, measure: boolean): Promise<Finding[]> {
  const existing = await nearestPath(path);
  const where = existing === path ? path : `${path}, which will be made in ${existing}`;
  try {
    if (!(await stat(existing)).isDirectory()) throw new Error(`${existing} is no directory`);
    await access(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    return [
      problem('disk', `${where}: ${(error as Error).message}`, `change its owner, or set ${key} to another`),
    ];
  }
  const found = await space(existing, where);
  // A gateway at work may need what is left.
  const measured = measure && found.status !== 'problem' ? await speed(store, existing) : [];
  return [found, ...measured];
}

/** The path, or the part of it that is there. */
export async function nearestPath(path: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  return found !== null || path === dirname(path) ? path : nearestPath(dirname(path));
}

async function space(existing: string, where: string): Promise<Finding> {
  const { type, bavail, blocks, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const kind = FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`;
  const text = `${where}: ${kind}, ${binaryBytes(free)} of ${binaryBytes(blocks * bsize)} free`;
  if (bavail < blocks * LOW_SHARE)
    return problem('disk', text, 'make room, or lower retention: a full disk refuses what is produced');
  if (kind === 'tmpfs') return note('disk', text, 'a restart of the machine loses what is here');
  return ok('disk', text);
}

async function speed(store: Store, existing: string): Promise<Finding[]> {
  const scratch = await mkdtemp(join(existing, '.kafabric-doctor-'));
  try {
    const file = await store.open(join(scratch, 'probe'), { create: true });
    await file.sync();
    // What is open needs no name, and so leaves nothing behind.
    await rm(scratch, { recursive: true, force: true });
    try {
      return [directIo(file, existing), await measureDevice(file, existing)];
    } finally {
      await file.close();
    }
  } catch (error) {
    return [problem('disk', `${existing}: ${(error as Error).message}`, 'nothing could be stored here')];
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function directIo(file: StoreFile, existing: string): Finding {
  if (file.direct) return ok('disk', `${existing}: direct I/O, past the page cache`);
  return note(
    'disk',
    `${existing}: no direct I/O here, or log.direct.io.enable=false: reads and writes use the page cache, answers wait for it`,
    'use ext4 or XFS for log.dirs where throughput matters',
  );
}

async function measureDevice(file: StoreFile, existing: string): Promise<Finding> {
  const memory = NativeMemory.allocate(PIECE_BYTES);
  if (memory === null) throw new Error('there is no memory for a measurement');
  try {
    crypto.getRandomValues(memory.bytes().subarray(0, 65_536));
    const startMs = performance.now();
    for (let written = 0; written < WRITE_BYTES; written += PIECE_BYTES)
      await file.append([new MemoryPiece(memory, 0, PIECE_BYTES)]).done;
    await file.sync();
    const rate = WRITE_BYTES / 1e3 / (performance.now() - startMs);
    const flushMs = await medianFlush(file);
    const text = `${existing}: ${rate.toFixed(0)} MB/s in pieces of 1 MiB, one after the other; a small append and its flush take ${flushMs.toFixed(2)} ms`;
    return flushMs < 20
      ? ok('disk', text)
      : note('disk', text, 'acks=all waits for each flush, unless log.durability=os');
  } finally {
    memory.release();
  }
}

async function medianFlush(file: StoreFile): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < FLUSHES; i++) {
    const startMs = performance.now();
    await file.append([Buffer.alloc(4096, i)]).done;
    await file.sync();
    times.push(performance.now() - startMs);
  }
  return times.sort((a, b) => a - b)[FLUSHES >> 1]!;
}
