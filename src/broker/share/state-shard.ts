import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { ProtocolError } from '../../protocol/wire/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { CoordinatorShard } from '../coordinator-shards.ts';
import { groupAppendError } from '../groups/append-errors.ts';
import {
  combineBatches,
  keyText,
  type PartitionState,
  type SharePartitionKey,
  type StateBatch,
  UNINITIALIZED_OFFSET,
  UNKNOWN_COUNT,
} from './partition-state.ts';
import type { StateLog } from './state-log.ts';
import {
  parseStateRecord,
  type StateRecord,
  type StateUpdate,
  snapshotRecord,
  updateRecord,
} from './state-records.ts';

export interface StateConfig {
  /** After so many updates the whole state is written. */
  readonly updatesPerSnapshot: number;
  /** How often what no state needs any more is removed from the log; milliseconds. */
  readonly pruneIntervalMs: number;
  /** A state that was not written for so long is written whole, so that what lies before it can be removed; milliseconds. */
  readonly coldSnapshotIntervalMs: number;
}

export interface StateShardOptions {
  /** Of __share_group_state. */
  readonly partition: number;
  readonly clock: Clock;
  readonly config: StateConfig;
  readonly logger: Logger;
  readonly log: StateLog;
}

/** What a leader of a share partition writes. -1 for an epoch: whatever it is; later ones than those that are known leave these as they are. */
export interface StateWrite {
  readonly stateEpoch: number;
  readonly leaderEpoch: number;
  readonly startOffset: bigint;
  readonly deliveryCompleteCount: number;
  readonly batches: readonly StateBatch[];
}

interface Entry {
  readonly key: SharePartitionKey;
  state: PartitionState;
  /** Since the last snapshot. */
  updates: number;
  /** Where the last snapshot is in the log; null while it is being written. */
  snapshotOffset: bigint | null;
}

const LOAD_RETRY_MS = 1_000;

/**
 * The states of one partition of __share_group_state. A change is there at once and answered when it is written; if it cannot be written, the
 * shard is read again. While `unavailable` is not NONE only `load`, `close` and `unavailable` may be called.
 */
export class ShareStateShard implements CoordinatorShard {
  readonly #options: StateShardOptions;
  readonly #entries = new Map<string, Entry>();
  #unavailable: ErrorCode = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
  #timer: Timer | null = null;
  /** Settles when everything that was appended has settled; never rejects. */
  #written: Promise<unknown> = Promise.resolve();

  constructor(options: StateShardOptions) {
    this.#options = options;
  }

  get unavailable(): ErrorCode {
    return this.#unavailable;
  }

  get size(): number {
    return this.#entries.size;
  }

  async load(): Promise<void> {
    const { clock, log, partition, logger } = this.#options;
    try {
      await log.replay(partition, (offset, key, value) => this.#replay(offset, key, value));
    } catch (error) {
      if (this.#isClosed) return;
      logger.error({ partition, err: error }, 'the states of share groups could not be loaded');
      this.#entries.clear();
      this.#timer = clock.setTimer(LOAD_RETRY_MS, () => void this.load());
      return;
    }
    if (this.#isClosed) return;
    this.#unavailable = ErrorCode.NONE;
    this.#schedulePruning();
  }

  close(): void {
    this.#unavailable = ErrorCode.NOT_COORDINATOR;
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Begins a state anew; resolves when it is written. Rejects with an ApiError. */
  async initialize(key: SharePartitionKey, stateEpoch: number, startOffset: bigint): Promise<void> {
    const entry = this.#entries.get(keyText(key));
    if (entry !== undefined && entry.state.stateEpoch > stateEpoch) throw fencedStateEpoch();
    const now = this.#options.clock.now();
    await this.#snapshot(key, {
      snapshotEpoch: (entry?.state.snapshotEpoch ?? -1) + 1,
      stateEpoch,
      leaderEpoch: 0,
      startOffset,
      deliveryCompleteCount: startOffset === UNINITIALIZED_OFFSET ? UNKNOWN_COUNT : 0,
      createdMs: now,
      writtenMs: now,
      batches: [],
    });
  }

  /** What is stored for the leader of this epoch, which is remembered. Rejects with an ApiError. */
  async read(key: SharePartitionKey, leaderEpoch: number): Promise<PartitionState> {
    const entry = this.#entries.get(keyText(key));
    if (entry === undefined)
      throw new ApiError(
        ErrorCode.INVALID_REQUEST,
        'Read operation on uninitialized share partition not allowed.',
      );
    if (leaderEpoch < entry.state.leaderEpoch) throw fencedLeaderEpoch();
    if (leaderEpoch > entry.state.leaderEpoch) {
      const { startOffset, deliveryCompleteCount } = entry.state;
      await this.#update(entry, { leaderEpoch, startOffset, deliveryCompleteCount, batches: [] });
    } else await this.#written;
    return entry.state;
  }

  /** Puts a change on top; resolves when it is written. Rejects with an ApiError. */
  async write(key: SharePartitionKey, write: StateWrite): Promise<void> {
    const entry = this.#entries.get(keyText(key));
    if (entry === undefined)
      throw new ApiError(
        ErrorCode.INVALID_REQUEST,
        'Write operation on uninitialized share partition not allowed.',
      );
    if (write.leaderEpoch !== -1 && entry.state.leaderEpoch > write.leaderEpoch) throw fencedLeaderEpoch();
    if (write.stateEpoch !== -1 && entry.state.stateEpoch > write.stateEpoch) throw fencedStateEpoch();
    const { state } = entry;
    // Two writes may pass each other at their writer; what is done with stays so, and is among what the later one counts.
    const startOffset = write.startOffset > state.startOffset ? write.startOffset : state.startOffset;
    const passed = write.startOffset < 0n ? 0 : Number(startOffset - write.startOffset);
    const update = {
      leaderEpoch: state.leaderEpoch,
      startOffset,
      deliveryCompleteCount: Math.max(write.deliveryCompleteCount - passed, UNKNOWN_COUNT),
      batches: write.batches,
    };
    if (entry.updates >= this.#options.config.updatesPerSnapshot) {
      await this.#snapshot(key, {
        ...applied(state, update, this.#options.clock.now()),
        snapshotEpoch: state.snapshotEpoch + 1,
      });
    } else await this.#update(entry, update);
  }

  /** What is known of the state, which may not be written yet; null if there is none. */
  summary(key: SharePartitionKey): PartitionState | null {
    return this.#entries.get(keyText(key))?.state ?? null;
  }

  /** Resolves when it is written; nothing happens without a state. Rejects with an ApiError. */
  async delete(key: SharePartitionKey): Promise<void> {
    const text = keyText(key);
    if (!this.#entries.delete(text)) return;
    await this.#append([snapshotRecord(key, null)]);
  }

  async #snapshot(key: SharePartitionKey, state: PartitionState): Promise<void> {
    const entry: Entry = { key, state, updates: 0, snapshotOffset: null };
    this.#entries.set(keyText(key), entry);
    entry.snapshotOffset = await this.#append([snapshotRecord(key, state)]);
  }

  async #update(entry: Entry, update: Omit<StateUpdate, 'snapshotEpoch'>): Promise<void> {
    entry.state = applied(entry.state, update, this.#options.clock.now());
    entry.updates++;
    await this.#append([updateRecord(entry.key, { ...update, snapshotEpoch: entry.state.snapshotEpoch })]);
  }

  async #append(records: readonly StateRecord[]): Promise<bigint> {
    const appended = this.#options.log.append(this.#options.partition, records);
    const before = this.#written;
    this.#written = Promise.allSettled([before, appended]);
    try {
      return await appended;
    } catch (error) {
      this.#reload(error);
      throw new ApiError(groupAppendError(error));
    }
  }

  /** What is not written must not be believed. */
  #reload(error: unknown): void {
    if (this.#unavailable !== ErrorCode.NONE) return;
    const { partition, logger } = this.#options;
    logger.error(
      { partition, err: error },
      'states of share groups could not be written: they are read again',
    );
    this.#unavailable = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
    this.#timer?.cancel();
    this.#timer = null;
    void this.#written.then(() => {
      if (this.#isClosed) return;
      this.#entries.clear();
      return this.load();
    });
  }

  get #isClosed(): boolean {
    return this.#unavailable === ErrorCode.NOT_COORDINATOR;
  }

  #replay(offset: bigint, keyBytes: Uint8Array, valueBytes: Uint8Array | null): void {
    const { partition, logger, clock } = this.#options;
    try {
      const record = parseStateRecord(keyBytes, valueBytes);
      if (record.kind === 'unknown') {
        logger.debug({ partition, type: record.type }, 'a record of a later Kafka was skipped');
        return;
      }
      const text = keyText(record.key);
      const entry = this.#entries.get(text);
      if (record.kind === 'snapshot') {
        if (record.value === null) this.#entries.delete(text);
        else
          this.#entries.set(text, {
            key: record.key,
            state: record.value,
            updates: 0,
            snapshotOffset: offset,
          });
      } else if (record.value !== null && entry !== undefined) {
        entry.state = applied(entry.state, record.value, clock.now());
        entry.updates++;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      logger.error({ partition, err: error }, 'a record of __share_group_state is malformed and was skipped');
    }
  }

  #schedulePruning(): void {
    const { clock, config, logger, partition } = this.#options;
    this.#timer = clock.setTimer(config.pruneIntervalMs, () => {
      this.#schedulePruning();
      this.#prune().catch((error: unknown) => {
        logger.warn({ partition, err: error }, '__share_group_state could not be shortened');
      });
    });
  }

  /** Removes what lies before the oldest snapshot that counts, once cold states have been written again. */
  async #prune(): Promise<void> {
    const { clock, config, log, partition } = this.#options;
    const now = clock.now();
    const entries = [...this.#entries.values()];
    const cold = entries.filter(({ state }) => now - state.writtenMs >= config.coldSnapshotIntervalMs);
    // Where nothing is written there is nothing to remove.
    if (cold.length === entries.length) return;
    for (const entry of cold) {
      const { key, state } = entry;
      // Others may have been written whole, begun anew or deleted while those before them were written.
      if (this.#entries.get(keyText(key)) !== entry) continue;
      await this.#snapshot(key, { ...state, snapshotEpoch: state.snapshotEpoch + 1, writtenMs: now });
    }
    await this.#written;
    let oldest: bigint | null = null;
    for (const { snapshotOffset } of this.#entries.values()) {
      if (snapshotOffset === null) return;
      if (oldest === null || snapshotOffset < oldest) oldest = snapshotOffset;
    }
    if (oldest !== null && this.#unavailable === ErrorCode.NONE) await log.prune(partition, oldest);
  }
}

function applied(
  state: PartitionState,
  update: Omit<StateUpdate, 'snapshotEpoch'>,
  now: number,
): PartitionState {
  const startOffset = update.startOffset > state.startOffset ? update.startOffset : state.startOffset;
  return {
    ...state,
    leaderEpoch: Math.max(state.leaderEpoch, update.leaderEpoch),
    startOffset,
    deliveryCompleteCount: update.deliveryCompleteCount,
    writtenMs: now,
    batches: combineBatches(state.batches, update.batches, startOffset),
  };
}

function fencedLeaderEpoch(): ApiError {
  return new ApiError(
    ErrorCode.FENCED_LEADER_EPOCH,
    'The leader epoch in the request is older than the epoch on the broker.',
  );
}

function fencedStateEpoch(): ApiError {
  return new ApiError(
    ErrorCode.FENCED_STATE_EPOCH,
    'The share coordinator rejected the request because the share-group state epoch did not match.',
  );
}
