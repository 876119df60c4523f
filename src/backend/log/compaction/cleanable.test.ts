import assert from 'node:assert/strict';
import { defaultLogConfig, type LogConfig } from '../config.ts';
import type { Segment } from '../segment.ts';
import { type CompactionState, dirtyRange, dirtyRatio, groupSegments, isDue } from './cleanable.ts';

const NOW = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

/** Segments of 10 offsets and 100 bytes; the first record of each is so many hours old, the last as old as that of the next. */
function segmentsOf(...hours: number[]): Segment[] {
  return hours.map((hour, index) => {
    const segment = {
      baseOffset: BigInt(index * 10),
      size: 100,
      largestTimestampMs: async () => NOW - (hours[index + 1] ?? hour) * HOUR_MS,
      firstBatchTimestamp: async () => BigInt(NOW - hour * HOUR_MS),
    };
    return segment as unknown as Segment;
  });
}

const segments = segmentsOf(5, 4, 3, 2, 1);
const end = 50n;

function range(config: Partial<LogConfig> = {}, state: Partial<CompactionState> = {}) {
  const all = { nowMs: NOW, cleanedOffset: 0n, logStartOffset: 0n, logEndOffset: end, lastStableOffset: end };
  return dirtyRange(segments, { ...defaultLogConfig, ...config }, { ...all, ...state });
}

describe('what may be compacted', () => {
  it('is everything but the segment that is appended to', async () => {
    const found = await range();
    assert.deepEqual([found.firstDirty, found.end], [0n, 40n]);
    assert.deepEqual([found.cleanBytes, found.dirtyBytes], [0, 400]);
    assert.equal(dirtyRatio(found), 1);
  });

  it('begins where the last round ended, or where the log begins', async () => {
    const found = await range({}, { cleanedOffset: 20n });
    assert.deepEqual([found.firstDirty, found.cleanBytes, found.dirtyBytes], [20n, 200, 200]);
    assert.equal((await range({}, { cleanedOffset: 20n, logStartOffset: 25n })).firstDirty, 25n);
    assert.equal((await range({}, { cleanedOffset: 60n, logStartOffset: 5n })).firstDirty, 5n);
  });

  it('ends before the first transaction that is open', async () => {
    assert.equal((await range({}, { lastStableOffset: 25n })).end, 20n);
    assert.equal((await range({}, { lastStableOffset: 5n })).dirtyBytes, 0);
  });

  it('ends before the first segment with a record younger than min.compaction.lag.ms', async () => {
    assert.equal((await range({ minCompactionLagMs: 2.5 * HOUR_MS })).end, 20n);
    assert.equal((await range({ minCompactionLagMs: 10 * HOUR_MS })).end, 0n);
    // What was compacted once is compacted again, however young.
    assert.equal((await range({ minCompactionLagMs: 10 * HOUR_MS }, { cleanedOffset: 40n })).end, 40n);
  });

  it('ends before what hybrid keeps, too', async () => {
    const hybrid = { compactionStrategy: 'hybrid', compactionWindowMs: 2.5 * HOUR_MS } as const;
    assert.equal((await range(hybrid)).end, 20n);
    assert.equal((await range({ ...hybrid, minCompactionLagMs: 3.5 * HOUR_MS })).end, 10n);
  });

  it('is due by its share, or by the age of its first record', async () => {
    const due = async (config: Partial<LogConfig>, state: Partial<CompactionState> = {}) =>
      isDue(await range(config, state), { ...defaultLogConfig, ...config });
    assert.equal(await due({ minCleanableDirtyRatio: 0.5 }, { cleanedOffset: 20n }), false);
    assert.equal(await due({ minCleanableDirtyRatio: 0.49 }, { cleanedOffset: 20n }), true);
    const late = { minCleanableDirtyRatio: 1, maxCompactionLagMs: 2.5 * HOUR_MS };
    assert.equal(await due(late, { cleanedOffset: 20n }), true);
    assert.equal(await due(late, { cleanedOffset: 30n }), false);
    assert.equal(await due({ ...late, minCompactionLagMs: 10 * HOUR_MS }), false, 'nothing may be compacted');
  });
});

describe('groups of segments that become one', () => {
  const config = { ...defaultLogConfig, segmentBytes: 250 };
  const groups = (
    all: readonly { baseOffset: bigint; size: number }[],
    logEnd: bigint,
    more: Partial<LogConfig> = {},
  ) =>
    groupSegments(all, logEnd, { ...config, ...more }).map((group) =>
      group.map(({ baseOffset }) => baseOffset),
    );

  it('are as large as a segment may be', () => {
    assert.deepEqual(groups(segments, end), [[0n, 10n], [20n, 30n], [40n]]);
    assert.deepEqual(groups(segments, end, { segmentBytes: 50 }), [[0n], [10n], [20n], [30n], [40n]]);
    assert.deepEqual(groups([], 0n), []);
  });

  it('have indexes that fit', () => {
    // 12 bytes of an index for each 10 of the log.
    const few = { segmentBytes: 1000, indexIntervalBytes: 10, segmentIndexBytes: 300 };
    assert.deepEqual(groups(segments, end, few), [[0n, 10n], [20n, 30n], [40n]]);
  });

  it('have offsets that are less than 2^31 above the first', () => {
    const last = 2n ** 31n - 1n;
    const far = (...offsets: bigint[]) => offsets.map((baseOffset) => ({ baseOffset, size: 10 }));
    assert.deepEqual(groups(far(0n, 10n), last + 1n), [[0n, 10n]]);
    assert.deepEqual(groups(far(0n, 10n), last + 2n), [[0n], [10n]]);
    assert.deepEqual(groups(far(0n, 10n, 5_000_000_000n), 5_000_000_001n), [[0n], [10n], [5_000_000_000n]]);
    assert.deepEqual(groups(far(0n, 10n, last + 1n), last + 2n), [[0n, 10n], [last + 1n]]);
  });
});
