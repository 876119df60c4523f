import { stat, statfs } from 'node:fs/promises';
import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { memoryForTiers } from './machine-memory.ts';
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
const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** One directory of a tier: what lies in it and how much room it has. */
export class TierPath {
  /** Absolute. */
  readonly path: string;
  /** From 0 on; the number of tiers for directories of partitions. */
  readonly tier: number;
  /** A restart of the machine empties it. */
  readonly isVolatile: boolean;
  readonly files = new Set<TierFile>();
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
    if (this.#clock.now() < this.#fullUntilMs) return 0;
    return Math.max(0, this.capacityBytes - this.usedBytes);
  }

  /** Looks how much space there is, and whether the directory is still the one that it was. */
  async measure(): Promise<void> {
    if (this.#error !== null || this.sizeBytes === 0) return;
    try {
      const { dev } = await stat(this.path);
      if (this.#device !== null && dev !== this.#device)
        throw new Error('another file system is mounted there by now');
      this.#device = dev;
      const { bavail, blocks, bsize } = await statfs(this.path);
      const reserve = Math.min((blocks * bsize) / FREE_SHARE, FREE_BYTES_MAX);
      const free = bavail * bsize - reserve;
      // A tmpfs has a size of its own, which says nothing of what others have left.
      const available = this.isVolatile ? Math.min(free, await memoryForTiers()) : free;
      const measured = Math.max(0, this.usedBytes + this.#keptBytes() + available);
      this.#capacityBytes = this.sizeBytes < 0 ? measured : Math.min(this.sizeBytes, measured);
    } catch (error) {
      this.takeOut(error);
    }
  }

  /** What to think of the path after a write or a flush in it failed. */
  failed(error: unknown): void {
    const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
    if (FULL.has(code)) this.#fullUntilMs = this.#clock.now() + FULL_MS;
    else if (!HARMLESS.has(code)) this.takeOut(error);
  }

  /** Puts nothing more there. What is there may still be read, if the disk can. */
  takeOut(error: unknown): void {
    if (this.#error !== null) return;
    this.#error = `the tier directory ${this.path} is out of use: ${error instanceof Error ? error.message : String(error)}`;
    this.#logger.error(
      { path: this.path, bytes: this.usedBytes, err: error },
      'a tier directory is out of use; the payload in it may be unavailable until it is mended and the gateway started again',
    );
  }
}
