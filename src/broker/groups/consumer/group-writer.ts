import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { OffsetChange } from '../offsets.ts';
import type { OffsetsRecord } from '../ports.ts';
import type { ShardLog } from '../shard-log.ts';
import { ConsumerGroup } from './consumer-group.ts';
import type { Group } from './context.ts';
import { apply, type ConsumerGroupRecord } from './group-records.ts';
import { encodeConsumerRecord } from './record-codec.ts';

/** The longest key and value of one record: a batch of its own must fit into the log. */
const RECORD_BYTES_MAX = 900 * 1024;

/** What is written of a group at once. */
export interface GroupChange {
  readonly groupId: string;
  readonly records: readonly ConsumerGroupRecord[];
  /** Records of other kinds before and after those. */
  readonly before?: readonly OffsetsRecord[];
  readonly after?: readonly OffsetsRecord[];
  readonly offsets?: readonly OffsetChange[];
}

/**
 * Changes groups of the consumer protocol: the change is there at once, so that others build on it, and answered when it is
 * written. If it cannot be written everything that is not is taken back, by reading the shard again.
 */
export class GroupWriter {
  readonly #groups: Map<string, Group>;
  readonly #log: ShardLog;
  readonly #failed: (error: unknown) => void;
  /** While it is under way. */
  #lastWrite: Promise<void> | null = null;

  constructor(groups: Map<string, Group>, log: ShardLog, failed: (error: unknown) => void) {
    this.#groups = groups;
    this.#log = log;
    this.#failed = failed;
  }

  /**
   * Applies the change and appends it. A change without records resolves when what it may rest on is written. Rejects with an
   * error that has a Kafka code. @throws ApiError if a record is too long, and changes nothing
   */
  write({ groupId, records, before = [], after = [], offsets = [] }: GroupChange): Promise<void> {
    const encoded = [...before, ...records.map((record) => encodeConsumerRecord(groupId, record)), ...after];
    if (encoded.length === 0 && offsets.length === 0)
      return this.#lastWrite === null ? Promise.resolve() : this.#log.inTime(this.#lastWrite);
    for (const { key, value } of encoded)
      if (key.byteLength + (value?.byteLength ?? 0) > RECORD_BYTES_MAX)
        throw new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, 'The group has become too large to be stored.');
    for (const record of records) this.replay(groupId, record);
    const effect = this.#log.writeApplied(offsets, encoded);
    this.#lastWrite = effect;
    effect.then(() => {
      if (this.#lastWrite === effect) this.#lastWrite = null;
    }, this.#failed);
    const written = this.#log.inTime(effect);
    // Its failure is met by whoever waits.
    written.catch(() => undefined);
    return written;
  }

  /** Changes the groups as the record says. A tombstone of the group's epoch is its last record. */
  replay(groupId: string, record: ConsumerGroupRecord): void {
    const known = this.#groups.get(groupId);
    let group = known?.type === 'consumer' ? known : undefined;
    if (group === undefined) {
      if (record.value === null) return;
      group = new ConsumerGroup(groupId);
      this.#groups.set(groupId, group);
    }
    apply(group, record);
    if (record.kind === 'epoch' && record.value === null) {
      group.timers.cancelAll();
      this.#groups.delete(groupId);
    }
  }

  /** What could not be written has been taken back. */
  reset(): void {
    this.#lastWrite = null;
  }
}
