import { type Clock, isPausing } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import { encodeMetaProperties, randomUuid } from '../../../log/checkpoint-files.ts';
import type { FoundTierFile } from '../directories.ts';
import { identify, type KnownPath, type TierOwner } from '../identity.ts';
import { TierPath } from '../tier-path.ts';
import type { Bucket } from './bucket.ts';
import { newObjectName } from './object-names.ts';
import { ObjectError } from './objects.ts';

/** How long after an outage the object store is asked whether it is back: twice as long each time, less up to a half at random. */
const FIRST_PROBE_MS = 2_000;
const LAST_PROBE_MS = 16_000;
/** After so long in use it is asked soon again. */
const STEADY_MS = 30_000;

/** The bucket as the one path of the tier S3. It takes complete segments only, and is in use again when the object store answers again. */
export class S3Path extends TierPath {
  override readonly takesNew = false;
  override readonly bucket: Bucket;
  readonly #sizeBytes: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #nextProbeMs = 0;
  #probeMs = FIRST_PROBE_MS;
  #usedSinceMs = 0;
  /** Only other settings, rights or credentials can help. */
  #isRefused = false;
  #isListed = false;
  #probing = false;
  /** Makes sure that the bucket is the one that it was; set when the tier is opened. */
  admit: () => Promise<void> = () => Promise.resolve();
  /** Removes what is left there of deleted topics, if that could not be done at the start. */
  removeDeleted: (() => Promise<void>) | null = null;

  /** `sizeBytes`: -1: no limit. */
  constructor(options: { bucket: Bucket; tier: number; sizeBytes: number; clock: Clock; logger: Logger }) {
    super({ ...options, path: options.bucket.url });
    this.bucket = options.bucket;
    this.#sizeBytes = options.sizeBytes;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.bucket.onOutage = (error) => this.takeOut(error);
    this.bucket.outage = () => this.error;
  }

  /** Keeps no space of removed files. */
  override get isLimited(): boolean {
    return true;
  }

  override pathOf(partition: string, segmentId: number, modifiedMs: number): string {
    return `${this.path}/${newObjectName({ partition, segmentId, modifiedMs })}`;
  }

  override prepare(): Promise<void> {
    return Promise.resolve();
  }

  override async make(): Promise<void> {}

  override async identify(
    owner: TierOwner,
    known: readonly KnownPath[],
    configured: readonly string[],
  ): Promise<string | null> {
    return identify(this.path, await this.bucket.contents(), owner, { known, configured });
  }

  override async claim({ clusterId, nodeId }: TierOwner): Promise<string> {
    const directoryId = randomUuid();
    const text = encodeMetaProperties({ clusterId, nodeId, directoryId });
    await this.bucket.writeProperties(Buffer.from(text));
    return directoryId;
  }

  /** The lock of the log directories is enough: the bucket is this gateway's. */
  override lock(): null {
    return null;
  }

  override async scan(): Promise<FoundTierFile[]> {
    await this.bucket.abortUploads();
    const found = await this.bucket.scan();
    this.#isListed = true;
    return found;
  }

  override get isListed(): boolean {
    return this.#isListed;
  }

  /** Of what is known, when it was listed at the start. */
  override async partitions(): Promise<string[]> {
    const found = this.#isListed ? [...this.files] : await this.bucket.scan();
    return [...new Set(found.map(({ path }) => path.slice(this.path.length + 1).split('/')[0]!))];
  }

  override stepBytes(bytes: number): number {
    return this.bucket.stepBytes(bytes);
  }

  /** Never waits for the object store. */
  override async measure(): Promise<void> {
    if (this.error === null) {
      this.setCapacity(this.#sizeBytes < 0 ? Number.MAX_SAFE_INTEGER : this.#sizeBytes);
      void this.bucket.removals.retry(this.#clock.now());
    } else if (!this.#probing && !isPausing(this.#nextProbeMs, this.#clock.now(), LAST_PROBE_MS)) {
      this.#probing = true;
      void this.#probe().finally(() => {
        this.#probing = false;
      });
    }
  }

  async #probe(): Promise<void> {
    if (this.#isRefused) this.bucket.renew();
    try {
      await this.admit();
      await this.bucket.abortUploads();
      await this.removeDeleted?.();
      this.removeDeleted = null;
    } catch (error) {
      const before = this.error;
      this.#out(error);
      if (this.error !== before)
        this.#logger.warn(
          { path: this.path, err: error },
          'the object store is out of use for another reason',
        );
      return;
    }
    this.#usedSinceMs = this.#clock.now();
    this.setError(null);
    await this.measure();
    this.#logger.info({ path: this.path }, 'the object store is in use again');
  }

  #out(error: unknown): void {
    this.#isRefused = error instanceof ObjectError && error.isRefusal;
    this.#nextProbeMs = this.#clock.now() + this.#probeMs * (1 - Math.random() / 2);
    this.#probeMs = Math.min(LAST_PROBE_MS, 2 * this.#probeMs);
    this.setError(this.#reason(error));
  }

  override failed(error: unknown): void {
    if (error instanceof ObjectError && error.isOutage) this.takeOut(error);
  }

  override takeOut(error: unknown): void {
    if (this.error !== null) return;
    if (this.#clock.now() - this.#usedSinceMs >= STEADY_MS) this.#probeMs = FIRST_PROBE_MS;
    this.#out(error);
    const { path, usedBytes: bytes } = this;
    this.#logger.error(
      { path, bytes, err: error },
      this.#isRefused
        ? 'the object store refuses the gateway; the payload in it is unavailable, and nothing of it is lost, until that is mended, which is looked for every few seconds'
        : 'the object store is out of use; the payload in it is unavailable, and nothing of it is lost, until it answers again, which is tried every few seconds',
    );
  }

  #reason(error: unknown): string {
    return `the object store ${this.path} is out of use: ${error instanceof Error ? error.message : String(error)}`;
  }
}
