import { join } from 'node:path';
import type { LogDirectory } from '../../../backend/log/log-directory.ts';
import {
  futureDirectoryName,
  parseOffsetFileName,
  partitionDirectoryName,
  Suffix,
} from '../../../backend/log/log-file-names.ts';
import type { LogManager } from '../../../backend/log/log-manager.ts';
import { DirectoryCopy } from '../../../backend/log/moves/directory-copy.ts';
import { isClosed, isData, isKept } from '../../../backend/log/moves/moved-files.ts';
import type { FileSystem } from '../../../backend/log/ports.ts';
import { payloadDirectory } from '../../../backend/payload/home-places.ts';
import { PayloadOpen } from '../../../backend/payload/payload-relocation.ts';
import type { Clock } from '../../../util/clock.ts';
import type { Partition } from '../partition.ts';

/** While no more than this is missing, appends may be held until it is there; twice as much after each round that left more, up to the limit. */
const TAIL_BYTES = 4 << 20;
const TAIL_LIMIT_BYTES = 256 << 20;
const LOOK_MS = 20;
const RETRY_MS = 1_000;

/** The move was given up, or the broker stops. */
export class MoveEnded extends Error {}

export interface MoveDependencies {
  readonly logs: LogManager;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  /** Whether the next few bytes may be copied now. */
  mayCopy(): boolean;
  copied(bytes: number): void;
}

/**
 * One partition on its way to another log directory. Closed segments are copied while it is written and read, and what comes meanwhile in the next
 * round. When little is missing, appends are held for as long as copying that takes, and the copy becomes the partition.
 */
export class PartitionMove {
  readonly partition: Partition;
  readonly to: LogDirectory;
  /** Of the copy. */
  readonly path: string;
  readonly #dependencies: MoveDependencies;
  readonly #copy: DirectoryCopy;
  #ended = false;

  /** `path`: where an earlier process has begun the copy; a new directory when not given. */
  constructor(dependencies: MoveDependencies, partition: Partition, to: LogDirectory, path?: string) {
    const { topic, index, log } = partition;
    this.partition = partition;
    this.to = to;
    this.path = path ?? join(to.path, futureDirectoryName(topic, index, crypto.randomUUID()));
    this.#dependencies = dependencies;
    this.#copy = new DirectoryCopy(dependencies.fileSystem, log.directory, this.path, {
      next: () => this.#mayCopy(),
      copied: (bytes) => dependencies.copied(bytes),
    });
  }

  /** Of log and payload, as far as the copy has them. */
  get bytes(): number {
    return this.#copy.bytes(isData);
  }

  /** Records that the copy lacks. */
  get lag(): bigint {
    const copied = new Set<bigint>();
    for (const name of this.#copy.names()) {
      const parsed = parseOffsetFileName(name);
      if (parsed?.suffix === Suffix.log) copied.add(parsed.offset);
    }
    const { log } = this.partition;
    return log.logEndOffset - log.relocation.firstOffsetWithout((baseOffset) => copied.has(baseOffset));
  }

  /** Gives the move up, unless the copy is becoming the partition by now. */
  end(): void {
    this.#ended = true;
  }

  /** Resolves when the partition is there. Rejects with MoveEnded after `end`, or with what went wrong; the partition is where it was then. */
  async run(): Promise<void> {
    for (let tailBytes = TAIL_BYTES; ; tailBytes = Math.min(2 * tailBytes, TAIL_LIMIT_BYTES)) {
      this.#assertWanted();
      await this.#copyClosed(tailBytes / 2);
      if (this.#openBytes > tailBytes) continue;
      try {
        return await this.#finish();
      } catch (error) {
        if (!(error instanceof PayloadOpen)) throw error;
      }
      await this.#wait(RETRY_MS);
    }
  }

  get #openBytes(): number {
    const { log, payloads } = this.partition;
    return log.relocation.openBytes + payloads.openBytes;
  }

  /** Ends segments that have more than so many bytes, and copies those that are closed. */
  async #copyClosed(bytes: number): Promise<void> {
    const { log, payloads } = this.partition;
    if (payloads.openBytes > bytes) payloads.endSegment();
    await payloads.settled();
    const openOffset = await log.relocation.settleClosed(bytes);
    await this.#copy.update((name, all) => isClosed(name, all, openOffset));
  }

  async #finish(): Promise<void> {
    const { logs, copied } = this.#dependencies;
    const { partition, to, path } = this;
    const { topic, index, log, payloads } = partition;
    const directory = payloadDirectory(join(to.path, partitionDirectoryName(topic, index)));
    // Whoever waits to append is not to wait for a throttle.
    const pace = { next: async () => this.#assertWanted(), copied };
    const letGo = await partition.holdAppends();
    try {
      await payloads.relocate({ directory, directoryId: to.id ?? '' }, () =>
        logs.handOver(log, to, path, async () => {
          await this.#copy.update(isKept, pace);
          this.#assertWanted();
        }),
      );
    } finally {
      letGo();
    }
  }

  #assertWanted(): void {
    if (this.#ended) throw new MoveEnded(`the move to ${this.to.path} was given up`);
    if (this.to.error) throw this.to.error;
  }

  async #mayCopy(): Promise<void> {
    for (;;) {
      this.#assertWanted();
      if (this.#dependencies.mayCopy()) return;
      await this.#wait(LOOK_MS);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#dependencies.clock.setTimer(ms, resolve);
    });
  }
}
