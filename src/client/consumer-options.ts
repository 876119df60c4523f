import { MAX_TIMER_MS } from '../util/clock.ts';
import { DirectError } from './errors.ts';
import { checkPosition, type StartPosition } from './list-offsets.ts';
import { checkSelector, type DataDescriptor, type DataSelector, type DataSelectorSpec } from './selection.ts';

/**
 * Gives the memory that selected data lands in, any typed array of `bytes` bytes, which is how much is selected; `descriptor` says how much there is. undefined:
 * memory of its own.
 */
export type DataBroker = (
  metadata: unknown,
  descriptor: DataDescriptor,
  bytes: number,
) => ArrayBufferView | undefined;

export interface ConsumerOptions {
  /** Members of a group share the partitions, and go on where the group has committed. */
  groupId?: string;
  /** Without a group: these partitions of each topic; default all. */
  partitions?: readonly number[];
  /** Where to begin, in a group only where nothing is committed. Default earliest. */
  from?: StartPosition;
  /**
   * What of each event's data is wanted by the time it is pulled. Default: what is stored with the group (`client.groups.setDataSelector`), else none:
   * `event.data()` gets it later.
   */
  select?: DataSelector | DataSelectorSpec;
  /** Where it lands; default memory of its own. */
  broker?: DataBroker;
  /** Metadata that is fetched ahead, in bytes; default 8 MiB. Small data that comes with it counts, and compressed batches as they are. */
  prefetchBytes?: number;
  /**
   * Selected data that is under way or waits to be pulled, in bytes; default 64 MiB. No more is asked for above it, so that it is exceeded
   * by one event at most.
   */
  prefetchDataBytes?: number;
  /**
   * When acknowledged offsets of a group are committed: every so many milliseconds, or only by `commit`, at `close` and before partitions go to
   * others, or only by `sendOffsets` of transactions. Default 5000.
   */
  commitEveryMs?: number | 'manual' | 'transaction';
  /** Whether events of open and aborted transactions are seen; default committed only. */
  isolation?: 'committed' | 'uncommitted';
  /** Default 45 s. */
  sessionTimeoutMs?: number;
  /** Default 3 s; less than sessionTimeoutMs. */
  heartbeatMs?: number;
  /** How long a fetch may wait for events at the gateway; default 500 ms. */
  maxWaitMs?: number;
}

export interface CheckedConsumerOptions extends ConsumerOptions {
  readonly from: StartPosition;
  readonly prefetchBytes: number;
  readonly prefetchDataBytes: number;
  readonly commitEveryMs: number | 'manual' | 'transaction';
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly maxWaitMs: number;
}

const MAX_FETCH_BYTES = 2 ** 31 - 1;

/** Options with their defaults. @throws DirectError INVALID_ARGUMENT */
export function checkConsumerOptions(options: ConsumerOptions): CheckedConsumerOptions {
  const checked = {
    from: 'earliest' as const,
    prefetchBytes: 8 << 20,
    prefetchDataBytes: 64 << 20,
    commitEveryMs: 5_000,
    sessionTimeoutMs: 45_000,
    heartbeatMs: 3_000,
    maxWaitMs: 500,
    ...options,
  };
  if (options.groupId !== undefined && options.partitions !== undefined)
    throw invalid('a group assigns the partitions', 'give either groupId or partitions');
  const { partitions } = options;
  if (partitions !== undefined && !areDifferent(partitions))
    throw invalid(`partitions are ${partitions}`, 'give a list of different numbers from 0 on');
  if (options.groupId === undefined && checked.commitEveryMs === 'transaction')
    throw invalid('offsets are committed for a group', 'give groupId');
  const { prefetchBytes, prefetchDataBytes, sessionTimeoutMs, heartbeatMs, maxWaitMs, commitEveryMs } =
    checked;
  const numbers = { prefetchBytes, prefetchDataBytes, sessionTimeoutMs, heartbeatMs, maxWaitMs };
  for (const [name, value] of Object.entries(numbers))
    if (!(Number.isFinite(value) && value >= 0)) throw invalid(`${name} is ${value}`);
  const canStay = heartbeatMs >= 1 && heartbeatMs < sessionTimeoutMs && sessionTimeoutMs <= MAX_TIMER_MS;
  if (options.groupId !== undefined && !canStay)
    throw invalid(
      `heartbeatMs is ${heartbeatMs}, sessionTimeoutMs ${sessionTimeoutMs}`,
      'heartbeats have to come more often than sessions time out: a third of that is usual',
    );
  const { isolation = 'committed' } = options;
  if (isolation !== 'committed' && isolation !== 'uncommitted') throw invalid(`isolation is ${isolation}`);
  const isPolicy = commitEveryMs === 'manual' || commitEveryMs === 'transaction';
  if (!(isPolicy || (commitEveryMs as number) > 0))
    throw invalid(`commitEveryMs is ${commitEveryMs}`, 'give milliseconds, "manual" or "transaction"');
  checkPosition(checked.from, 'make a consumer');
  if (options.select !== undefined) checkSelector(options.select, 'make a consumer');
  // Requests say them in 32 bits.
  return {
    ...checked,
    maxWaitMs: Math.min(maxWaitMs, MAX_TIMER_MS),
    prefetchBytes: Math.min(prefetchBytes, MAX_FETCH_BYTES),
  };
}

function areDifferent(partitions: unknown): boolean {
  if (!Array.isArray(partitions) || new Set(partitions).size !== partitions.length) return false;
  return partitions.every((one) => Number.isInteger(one) && one >= 0);
}

function invalid(message: string, todo?: string): DirectError {
  const doing = 'make a consumer';
  return new DirectError('INVALID_ARGUMENT', message, todo === undefined ? { doing } : { doing, todo });
}
