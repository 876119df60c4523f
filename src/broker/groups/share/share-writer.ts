import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { Group } from '../consumer/context.ts';
import type { ShardLog } from '../shard-log.ts';
import { ShareGroup, type ShareGroupRecord } from './share-group.ts';
import { encodeShareRecord } from './share-record-codec.ts';

/** The longest key and value of one record: a batch of its own must fit into the log. */
const RECORD_BYTES_MAX = 900 * 1024;

/**
 * Changes share groups: the change is there at once, so that others build on it, and answered when it is written. If it cannot be written
 * everything that is not is taken back, by reading the shard again.
 */
export class ShareGroupWriter {
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
   * Applies the records and appends them; without any it resolves when what the answer may rest on is written. Rejects with an error that
   * has a Kafka code. @throws ApiError if a record is too long, and changes nothing
   */
  write(groupId: string, records: readonly ShareGroupRecord[]): Promise<void> {
    if (records.length === 0)
      return this.#lastWrite === null ? Promise.resolve() : this.#log.inTime(this.#lastWrite);
    const encoded = records.map((record) => encodeShareRecord(groupId, record));
    for (const { key, value } of encoded)
      if (key.byteLength + (value?.byteLength ?? 0) > RECORD_BYTES_MAX)
        throw new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, 'The group has become too large to be stored.');
    for (const record of records) this.replay(groupId, record);
    const effect = this.#log.writeApplied([], encoded);
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
  replay(groupId: string, record: ShareGroupRecord): void {
    const known = this.#groups.get(groupId);
    let group = known?.type === 'share' ? known : undefined;
    if (group === undefined) {
      if (record.value === null) return;
      group = new ShareGroup(groupId);
      this.#groups.set(groupId, group);
    }
    group.apply(record);
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
