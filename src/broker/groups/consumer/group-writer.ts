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
export interface GroupChange<R> {
  readonly groupId: string;
  readonly records: readonly R[];
  /** Records of other kinds before and after those. */
  readonly before?: readonly OffsetsRecord[];
  readonly after?: readonly OffsetsRecord[];
  readonly offsets?: readonly OffsetChange[];
}

/** Where the groups of one protocol, whose records say `R`, are kept. */
export interface GroupWriterOptions<R> {
  readonly groups: Map<string, Group>;
  readonly log: ShardLog;
  /** A write has failed: what is not written is to be taken back, by reading the shard again. */
  failed(error: unknown): void;
  encode(groupId: string, record: R): OffsetsRecord;
  /** Changes the groups as the record says. */
  replay(groupId: string, record: R): void;
}

/**
 * Changes groups of a protocol in which the coordinator assigns: the change is there at once, so that others build on it, and
 * answered when it is written. If it cannot be written everything that is not is taken back, by reading the shard again.
 */
export class GroupWriter<R> {
  readonly #options: GroupWriterOptions<R>;
  /** While it is under way. */
  #lastWrite: Promise<void> | null = null;

  constructor(options: GroupWriterOptions<R>) {
    this.#options = options;
  }

  /**
   * Applies the change and appends it. A change without records resolves when what it may rest on is written. Rejects with an
   * error that has a Kafka code. @throws ApiError if a record is too long, and changes nothing
   */
  write({ groupId, records, before = [], after = [], offsets = [] }: GroupChange<R>): Promise<void> {
    const { log, encode, failed } = this.#options;
    const encoded = [...before, ...records.map((record) => encode(groupId, record)), ...after];
    if (encoded.length === 0 && offsets.length === 0)
      return this.#lastWrite === null ? Promise.resolve() : log.inTime(this.#lastWrite);
    for (const { key, value } of encoded)
      if (key.byteLength + (value?.byteLength ?? 0) > RECORD_BYTES_MAX)
        throw new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, 'The group has become too large to be stored.');
    for (const record of records) this.replay(groupId, record);
    const effect = log.writeApplied(offsets, encoded);
    this.#lastWrite = effect;
    effect.then(() => {
      if (this.#lastWrite === effect) this.#lastWrite = null;
    }, failed);
    const written = log.inTime(effect);
    // Its failure is met by whoever waits.
    written.catch(() => undefined);
    return written;
  }

  /** Changes the groups as the record says. */
  replay(groupId: string, record: R): void {
    this.#options.replay(groupId, record);
  }

  /** What could not be written has been taken back. */
  reset(): void {
    this.#lastWrite = null;
  }
}

/** What the groups of one protocol are, and what their records do to them. */
export interface GroupKind<R, G extends Group> {
  readonly type: G['type'];
  create(groupId: string): G;
  apply(group: G, record: R): void;
  cancelTimers(group: G): void;
}

/** Changes groups as a record says. A tombstone of a group's epoch is its last record. */
export function replayOf<R extends { readonly kind: string; readonly value: unknown }, G extends Group>(
  groups: Map<string, Group>,
  kind: GroupKind<R, G>,
): (groupId: string, record: R) => void {
  return (groupId, record) => {
    const known = groups.get(groupId);
    let group = known?.type === kind.type ? (known as G) : undefined;
    if (group === undefined) {
      if (record.value === null) return;
      group = kind.create(groupId);
      groups.set(groupId, group);
    }
    kind.apply(group, record);
    if (record.kind === 'epoch' && record.value === null) {
      kind.cancelTimers(group);
      groups.delete(groupId);
    }
  };
}

/** Writes the records of groups of the consumer protocol. */
export function consumerWriter(
  options: Pick<GroupWriterOptions<ConsumerGroupRecord>, 'groups' | 'log' | 'failed'>,
): GroupWriter<ConsumerGroupRecord> {
  return new GroupWriter({
    ...options,
    encode: encodeConsumerRecord,
    replay: replayOf<ConsumerGroupRecord, ConsumerGroup>(options.groups, {
      type: 'consumer',
      create: (groupId) => new ConsumerGroup(groupId),
      apply,
      cancelTimers: (group) => group.timers.cancelAll(),
    }),
  });
}
