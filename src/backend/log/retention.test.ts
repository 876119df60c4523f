import assert from 'node:assert/strict';
import { defaultLogConfig, type LogConfig } from './config.ts';
import { expiredSegments, type RetentionState } from './retention.ts';
import { testBatch } from './testing/batches.ts';
import { LogFixture } from './testing/log-fixture.ts';

const NOW = 1_000_000;
/** Four segments of 10 offsets and 100 bytes; each is 1000 ms older than the next, the last is 1000 ms old. */
const segments = [4, 3, 2, 1].map((age, index) => ({
  sizeBytes: 100,
  endOffset: BigInt((index + 1) * 10),
  largestTimestampMs: NOW - age * 1000,
}));

function expired(config: Partial<LogConfig>, state: Partial<RetentionState> = {}): number {
  return expiredSegments(
    segments,
    { ...defaultLogConfig, retentionMs: -1, ...config },
    { nowMs: NOW, logStartOffset: 0n, highWatermark: 40n, ...state },
  );
}

describe('expiredSegments', () => {
  it('lets segments go by age, the last one too', () => {
    assert.equal(expired({ retentionMs: 4000 }), 0);
    assert.equal(expired({ retentionMs: 2500 }), 2);
    assert.equal(expired({ retentionMs: 10 }), 4);
    assert.equal(expired({ retentionMs: -1 }), 0);
  });

  it('keeps what says that it is of the future, and what is behind it', () => {
    const future = segments.with(1, { ...segments[1]!, largestTimestampMs: NOW + 1 });
    const config = { ...defaultLogConfig, retentionMs: 0 };
    assert.equal(expiredSegments(future, config, { nowMs: NOW, logStartOffset: 0n, highWatermark: 40n }), 1);
  });

  it('lets segments go by size while the rest is still as large as allowed', () => {
    assert.equal(expired({ retentionBytes: 400 }), 0);
    assert.equal(expired({ retentionBytes: 301 }), 0);
    assert.equal(expired({ retentionBytes: 300 }), 1);
    assert.equal(expired({ retentionBytes: 0 }), 4);
  });

  it('lets segments go that end below the log start, but not the last', () => {
    assert.equal(expired({}, { logStartOffset: 25n }), 2);
    assert.equal(expired({}, { logStartOffset: 40n }), 3);
  });

  it('keeps what lies above the high watermark', () => {
    assert.equal(expired({ retentionMs: 10 }, { highWatermark: 25n }), 2);
  });

  it('goes only by the log start when the policy does not delete', () => {
    const compact = { cleanupDelete: false, retentionMs: 10, retentionBytes: 0 };
    assert.equal(expired(compact), 0);
    assert.equal(expired(compact, { logStartOffset: 10n }), 1);
  });

  it('keeps an empty segment', () => {
    const empty = [{ sizeBytes: 0, endOffset: 0n, largestTimestampMs: 0 }];
    const config = { ...defaultLogConfig, retentionMs: 1 };
    assert.equal(expiredSegments(empty, config, { nowMs: NOW, logStartOffset: 0n, highWatermark: 0n }), 0);
  });
});

describe('retention by age after a start', () => {
  it('reads the indexes of what it lets go, and of the first segment that stays', async () => {
    const fixture = new LogFixture(1, { segmentBytes: 300, retentionMs: 10_000 });
    const { clock, files } = fixture;
    const first = await fixture.open();
    for (let index = 0; index < 30; index++)
      first.append(testBatch([{ value: 'v', timestamp: clock.now() + index * 1000 }]));
    await first.flush();
    const log = await fixture.reopen();
    log.highWatermark = 30n;
    assert.ok(log.segmentCount > 5);
    clock.tick(15_500);
    let reads = 0;
    files.fault = (operation, path) => {
      if (operation === 'readFile' && path.endsWith('.timeindex')) reads++;
      return null;
    };
    const gone = await log.deleteOldSegments();
    assert.ok(gone > 0);
    assert.equal(reads, gone + 1);
  });
});
