import type { LogCompaction } from './compaction/log-compaction.ts';
import type { LogParts } from './log-parts.ts';
import type { LogHost } from './partition-log-types.ts';
import type { LogFile } from './ports.ts';

/** Where a log goes. */
export interface LogPlace {
  readonly host: LogHost;
  /** Of the log itself. */
  readonly directory: string;
}

/** Lets a log go on in another directory. */
export class LogRelocation {
  readonly #parts: LogParts;
  readonly #compaction: LogCompaction;

  constructor(parts: LogParts, compaction: LogCompaction) {
    this.#parts = parts;
    this.#compaction = compaction;
  }

  /** Bytes of the segment that is appended to. */
  get openBytes(): number {
    return this.#parts.segments.list.active.size;
  }

  /**
   * Ends the segment that is appended to if it has more than so many bytes, and completes the closed ones on disk. Returns where the last one
   * begins; those before it are closed.
   */
  settleClosed(bytes: number): Promise<bigint> {
    const { segments, durability } = this.#parts;
    if (this.openBytes > bytes) this.#parts.roll();
    return this.#parts.exclusively(async () => {
      this.#parts.assertWritable();
      const { baseOffset } = segments.list.active;
      await durability.persistRolled();
      return baseOffset;
    });
  }

  /** The first offset of the first segment whose base offset is not like that; the log's end when all are. */
  firstOffsetWithout(isSo: (baseOffset: bigint) => boolean): bigint {
    const { log, segments } = this.#parts;
    return segments.list.all.find(({ baseOffset }) => !isSo(baseOffset))?.baseOffset ?? log.logEndOffset;
  }

  /**
   * Has the log go on in another directory, to which `swap` brings its files; nothing may be appended meanwhile. When that is called everything is
   * durable, all segments are complete but for an empty last one, which has a file, and nothing changes until it has ended. Reads wait, or go on
   * with files that are open. Offsets that have to outlast the process are written down in both directories. Returns the files that were open, for
   * reads that are under way; when `swap` is rejected all is as it was.
   */
  async relocate(place: LogPlace, swap: () => Promise<void>): Promise<LogFile[]> {
    const { writes, segments } = this.#parts;
    await this.#compaction.pause();
    try {
      await writes.idle();
      this.#parts.assertWritable();
      if (segments.list.active.size > 0) this.#parts.roll();
      return await this.#parts.exclusively(() => this.#relocate(place, swap));
    } finally {
      this.#compaction.resume();
    }
  }

  async #relocate(place: LogPlace, swap: () => Promise<void>): Promise<LogFile[]> {
    const { host, segments, snapshots, epochFile } = this.#parts;
    await this.#settle();
    let letGo = () => {};
    const until = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let moved = false;
    try {
      await segments.hold(until);
      await epochFile.hold(until);
      host.begin(place.host);
      await swap();
      moved = true;
      snapshots.moved(place.directory);
      return segments.replaced(place.directory);
    } finally {
      host.end(moved);
      letGo();
    }
  }

  /** Makes everything durable, and closed segments complete on disk, with the payload to which they refer. */
  async #settle(): Promise<void> {
    const { log, segments, durability, assertWritable } = this.#parts;
    assertWritable();
    const { active } = segments.list;
    // Its name says where the log ends.
    if (!active.linked) await active.sync();
    // Or their copies would be the log's.
    await segments.finishRemoval(log.config);
    await log.flush();
    await durability.persistRolled();
    await durability.idle();
  }
}
