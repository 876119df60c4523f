import type { Uuid } from '../../protocol/wire/types.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { findOffset } from '../partitions/offset-lookup.ts';
import type { Partition } from '../partitions/partition.ts';
import type { ShareConfig, ShareGroupSettings } from './config.ts';
import { keyText, type SharePartitionKey } from './partition-state.ts';
import { type Persister, type SharedLog, type ShareMetrics, SharePartition } from './share-partition.ts';

const LATEST = -1n;

interface Opened {
  readonly key: SharePartitionKey;
  readonly opening: Promise<SharePartition>;
  /** Once it is open. */
  share: SharePartition | null;
}

/** The partitions that share groups are reading, each as each group sees it. */
export class SharePartitions {
  readonly metrics: ShareMetrics = {
    accepted: 0,
    released: 0,
    rejected: 0,
    renewed: 0,
    timedOut: 0,
    acquired: 0,
  };
  readonly #options: {
    readonly persister: Persister;
    readonly config: ShareConfig;
    readonly clock: Clock;
    readonly logger: Logger;
  };
  readonly #opened = new Map<string, Opened>();

  constructor(options: {
    readonly persister: Persister;
    readonly config: ShareConfig;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#options = options;
  }

  /** Opened, if need be, with the state that is stored. Rejects with an ApiError. */
  async open(key: SharePartitionKey, partition: Partition): Promise<SharePartition> {
    const text = keyText(key);
    const known = this.#opened.get(text);
    if (known !== undefined) return known.opening;
    const { persister, config, clock, logger } = this.#options;
    const settings = () => config.settingsOf(key.groupId);
    const log = logOf(partition, clock);
    const fenced = () => this.#close(text);
    const { metrics } = this;
    const opening = SharePartition.open({
      ...{ key, log, persister, settings, clock, logger, metrics, fenced },
    });
    const opened: Opened = { key, opening, share: null };
    this.#opened.set(text, opened);
    try {
      const share = await opening;
      opened.share = share;
      if (this.#opened.get(text) !== opened) share.close();
      return share;
    } catch (error) {
      if (this.#opened.get(text) === opened) this.#opened.delete(text);
      throw error;
    }
  }

  /** Null unless it is open. */
  find(key: SharePartitionKey): SharePartition | null {
    return this.#opened.get(keyText(key))?.share ?? null;
  }

  /** Those of a group that are open. */
  ofGroup(groupId: string): SharePartition[] {
    return [...this.#opened.values()].flatMap(({ key, share }) =>
      key.groupId === groupId && share !== null ? [share] : [],
    );
  }

  /** What is stored has been changed, or is gone: forgets a group's partitions of these topics, by default of all. */
  forget(groupId: string, topicIds?: readonly Uuid[]): void {
    for (const [text, { key }] of [...this.#opened])
      if (key.groupId === groupId && (topicIds?.includes(key.topicId) ?? true)) this.#close(text);
  }

  /** Records that members have at the moment. */
  get acquiredCount(): number {
    let count = 0;
    for (const { share } of this.#opened.values()) count += share?.inFlight.acquiredCount ?? 0;
    return count;
  }

  get size(): number {
    return this.#opened.size;
  }

  close(): void {
    for (const text of [...this.#opened.keys()]) this.#close(text);
  }

  #close(text: string): void {
    this.#opened.get(text)?.share?.close();
    this.#opened.delete(text);
  }
}

function logOf(partition: Partition, clock: Clock): SharedLog {
  return {
    get logStartOffset() {
      return partition.logStartOffset;
    },
    get leaderEpoch() {
      return partition.leaderEpoch;
    },
    async firstOffset({ offsetReset }: ShareGroupSettings) {
      if (offsetReset === 'earliest') return partition.logStartOffset;
      const isolation = 'read_uncommitted';
      if (offsetReset !== 'latest') {
        const since = BigInt(Math.max(0, Math.floor(clock.now() - offsetReset.ageMs)));
        const { offset } = await findOffset(partition, since, isolation);
        if (offset >= 0n) return offset;
      }
      return (await findOffset(partition, LATEST, isolation)).offset;
    },
  };
}
