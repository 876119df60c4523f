import type { StatsFs } from 'node:fs';
import { mkdir, readdir, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, isPausing } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import type { DirectoryLock } from '../../log/ports.ts';
import { isFull } from '../full-disk.ts';
import { payloadPath } from '../home-places.ts';
import { syncDirectory } from '../small-files.ts';
import { type FoundTierFile, isPartitionName, scanTierPath } from './directories.ts';
import { claimPath, identify, type KnownPath, readContents, type TierOwner } from './identity.ts';
import { assertInMemory, memoryForTiers } from './machine-memory.ts';
import type { Bucket } from './s3/bucket.ts';
import type { TierFile } from './tier-file.ts';

/** This share of a file system stays free, and at most so much of it: others write there too, and space is allocated ahead. */
const FREE_SHARE = 50;
const FREE_BYTES_MAX = 1 << 30;
/** How long nothing new goes to a path whose disk was full although it did not look so. */
const FULL_MS = 10_000;

/** Errors of the moment or of the caller, which say nothing about a directory. */
const HARMLESS = new Set([
  'ENOBUFS',
  'ENOMEM',
  'ETIMEDOUT',
  'EMFILE',
  'ENFILE',
  'ESHUTDOWN',
  'EBADF',
  'EEXIST',
  'ENOENT',
  'EINTR',
  'EAGAIN',
]);
/** Copied without a look at whether it is still wanted and whether clients wait. */
const STEP_BYTES = 4 << 20;

/** What payload may have of what is free on a file system: whole bytes, as others are told them. */
export function freeBytesOf({ bavail, blocks, bsize }: Pick<StatsFs, 'bavail' | 'blocks' | 'bsize'>): number {
  return bavail * bsize - Math.floor(Math.min((blocks * bsize) / FREE_SHARE, FREE_BYTES_MAX));
}

/** One directory of a tier: what lies in it and how much room it has. */
export class TierPath {
  /** Absolute; the URL of a bucket. */
  readonly path: string;
  /** From 0 on; the number of tiers for directories of partitions. */
  readonly tier: number;
  /** A restart of the machine empties it. */
  readonly isVolatile: boolean;
  readonly files = new Set<TierFile>();
  /** Segments may be begun there. */
  readonly takesNew: boolean = true;
  /** What it is, if it is no directory. */
  readonly bucket: Bucket | null = null;
  /** Bytes of all of `files`. */
  usedBytes = 0;
  /** As configured; -1: what the file system has. */
  readonly sizeBytes: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #takesMore: () => boolean;
  readonly #keptBytes: () => number;
  /** Bytes that it may hold, as it was measured last. */
  #capacityBytes = 0;
  #device: number | null = null;
  readonly #made = new Map<string, Promise<unknown>>();
  #fullUntilMs = 0;
  #error: string | null = null;

  /** `sizeBytes`: -1: what the file system has. `takesMore`: false while nothing new may go there; always true by default. `keptBytes`: space there that is kept for new files. */
  constructor(options: {
    path: string;
    tier: number;
    sizeBytes: number;
    isVolatile?: boolean;
    takesMore?: () => boolean;
    keptBytes?: () => number;
    clock: Clock;
    logger: Logger;
  }) {
    this.path = options.path;
    this.tier = options.tier;
    this.isVolatile = options.isVolatile ?? false;
    this.#takesMore = options.takesMore ?? (() => true);
    this.#keptBytes = options.keptBytes ?? (() => 0);
    this.sizeBytes = options.sizeBytes;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** It has a size of its own. */
  get isLimited(): boolean {
    return this.sizeBytes >= 0;
  }

  /** Why it is not used any more, for people; null while it is. */
  get error(): string | null {
    return this.#error;
  }

  get capacityBytes(): number {
    return this.#error === null && this.#takesMore() ? this.#capacityBytes : 0;
  }

  /** Files that are being appended to. */
  get writing(): number {
    let count = 0;
    for (const file of this.files) if (file.state === 'writing') count++;
    return count;
  }

  /** Of files that are being moved away. */
  get leavingBytes(): number {
    let bytes = 0;
    for (const file of this.files) if (file.state === 'leaving') bytes += file.bytes;
    return bytes;
  }

  get roomBytes(): number {
    if (isPausing(this.#fullUntilMs, this.#clock.now(), FULL_MS)) return 0;
    return Math.max(0, this.capacityBytes - this.usedBytes);
  }

  /** Where a segment's file is, or a new one is to be. */
  pathOf(partition: string, segmentId: number, _modifiedMs: number): string {
    return payloadPath(this.directoryOf(partition), segmentId);
  }

  /** What all paths of a partition's files begin with, before a slash. */
  directoryOf(partition: string): string {
    return `${this.path}/${partition}`;
  }

  /** Resolves when files of the partition can be made. Makes no parents: without them nothing is mounted there. */
  prepare(partition: string): Promise<unknown> {
    let made = this.#made.get(partition);
    if (made === undefined) {
      const directory = this.directoryOf(partition);
      made = mkdir(directory).then(
        () => syncDirectory(dirname(directory)),
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error;
        },
      );
      this.#made.set(partition, made);
      made.catch(() => this.#made.delete(partition));
    }
    return made;
  }

  /** What was prepared for the partition is going to be removed. */
  forget(partition: string): void {
    this.#made.delete(partition);
  }

  /** Makes it, if it was not used before, or a restart of the machine has removed it. */
  async make(): Promise<void> {
    await mkdir(this.path, { recursive: true });
    if (this.isVolatile) await assertInMemory(this.path);
  }

  /** See `identify`. */
  async identify(
    owner: TierOwner,
    known: readonly KnownPath[],
    configured: readonly string[],
  ): Promise<string | null> {
    return identify(this.path, await readContents(this.path), owner, { known, configured });
  }

  /** Makes it this gateway's, durably; returns its new id. */
  claim(owner: TierOwner): Promise<string> {
    return claimPath(this.path, owner);
  }

  /** Null where none is needed. */
  lock(files: { lockDirectory(path: string): DirectoryLock }): DirectoryLock | null {
    return files.lockDirectory(this.path);
  }

  /** What is there at the start. */
  scan(): Promise<FoundTierFile[]> {
    return scanTierPath(this.path);
  }

  /** What is there was seen at the start, if it could be. */
  get isListed(): boolean {
    return true;
  }

  /** The names of the partitions that have something there. */
  async partitions(): Promise<string[]> {
    return (await this.entries()).filter(isPartitionName);
  }

  /** All that is there, by name. */
  entries(): Promise<string[]> {
    return readdir(this.path);
  }

  /** How much of a file of this size is copied there at a time. */
  stepBytes(_bytes: number): number {
    return STEP_BYTES;
  }

  /** Looks how much space there is, and whether the directory is still the one that it was. */
  async measure(): Promise<void> {
    if (this.#error !== null || this.sizeBytes === 0) return;
    try {
      const { dev } = await stat(this.path);
      if (this.#device !== null && dev !== this.#device)
        throw new Error('another file system is mounted there by now');
      this.#device = dev;
      const free = freeBytesOf(await statfs(this.path));
      // A tmpfs has a size of its own, which says nothing of what others have left.
      const available = this.isVolatile ? Math.min(free, await memoryForTiers()) : free;
      const measured = Math.max(0, this.usedBytes + this.#keptBytes() + available);
      this.#capacityBytes = this.sizeBytes < 0 ? measured : Math.min(this.sizeBytes, measured);
    } catch (error) {
      this.takeOut(error);
    }
  }

  protected setCapacity(bytes: number): void {
    this.#capacityBytes = bytes;
  }

  protected setError(error: string | null): void {
    this.#error = error;
  }

  /** What to think of the path after a write or a flush in it failed. */
  failed(error: unknown): void {
    const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
    if (isFull(error)) this.#fullUntilMs = this.#clock.now() + FULL_MS;
    else if (!HARMLESS.has(code)) this.takeOut(error);
  }

  /** Puts nothing more there. What is there may still be read, if the disk can. */
  takeOut(error: unknown): void {
    if (this.#error !== null) return;
    this.#error = `the tier directory ${this.path} is out of use: ${error instanceof Error ? error.message : String(error)}`;
    this.#logger.error(
      { path: this.path, bytes: this.usedBytes, err: error },
      'a tier directory is out of use; the payload in it may be unavailable until it is mended and the process started again',
    );
  }
}
