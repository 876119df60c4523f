import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { silentLogger } from '../../../util/logger.ts';
import { LogError, LogErrorCode } from '../errors.ts';
import type { PartitionLog } from '../partition-log.ts';
import { testBatch } from '../testing/batches.ts';
import { LogFixture, readAll } from '../testing/log-fixture.ts';
import { plainCompaction } from '../testing/plain-compaction.ts';
import { LogCleaner } from './log-cleaner.ts';
import { CompactionStopped } from './log-compaction.ts';
import type { CompactionEngine, CompactionWork } from './ports.ts';

const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };
const SETTINGS = {
  enabled: true,
  threads: 1,
  backoffMs: 1000,
  dedupeBufferBytes: 1 << 20,
  ioBufferBytes: 1 << 20,
  loadFactor: 0.9,
  maxIoBytesPerSecond: Number.MAX_VALUE,
};

describe('compaction whose disk fails for a while', () => {
  let fixture: LogFixture;

  beforeEach(() => {
    fixture = new LogFixture(1, {
      segmentBytes: 400,
      retentionMs: -1,
      fileDeleteDelayMs: 1000,
      cleanupDelete: false,
      cleanupCompact: true,
      minCleanableDirtyRatio: 0,
    });
  });
  afterEach(() => fixture.manager.close());

  async function fill(log: PartitionLog): Promise<void> {
    log.becomeLeader(0);
    for (let index = 0; index < 30; index++)
      await log.append(testBatch([{ key: `k${index % 3}`, value: `${index}`, timestamp: index }])).written;
    log.highWatermark = log.writtenEndOffset;
    await log.prepareCheckpoint();
  }

  /** Lets time pass until something is over. */
  async function until<T>(promise: Promise<T>): Promise<T> {
    let pending = true;
    const ended = () => {
      pending = false;
    };
    promise.then(ended, ended);
    while (pending) {
      fixture.clock.runNext();
      await setImmediate();
    }
    return promise;
  }

  for (const operation of ['rename', 'syncDirectory']) {
    it(`goes on with replacing segments once ${operation} works again`, async () => {
      const log = await fixture.open();
      await fill(log);
      let failures = 0;
      let swapping = false;
      fixture.files.fault = (each, path) => {
        swapping ||= each === 'rename' && path.endsWith('.cleaned');
        return swapping && each === operation && failures++ % 3 !== 2 ? 'EMFILE' : null;
      };
      await until(log.compaction.run(plainCompaction(fixture.files.mount(), fixture.config), ROUND));
      assert.ok(failures > 3);
      assert.equal(fixture.manager.directories[0]!.error, null);
      const batches = await readAll(log);
      assert.ok(batches.length < 15, `${batches.length} batches`);
      fixture.files.fault = () => null;
      const again = await fixture.reopen();
      assert.equal((await readAll(again)).length, batches.length);
    });
  }

  it('does not hold up retention, which may give it room, while segments cannot be replaced', async () => {
    const log = await fixture.open();
    await fill(log);
    let isFull = true;
    let refused = 0;
    fixture.files.fault = (each, path) => {
      const refuses = isFull && each === 'rename' && path.endsWith('.cleaned');
      if (refuses) refused++;
      return refuses ? 'ENOSPC' : null;
    };
    const round = log.compaction.run(plainCompaction(fixture.files.mount(), fixture.config), ROUND);
    while (refused === 0) await setImmediate();
    let turns = 0;
    const looked = log.deleteOldSegments().then(() => turns);
    for (; turns < 50; turns++) await setImmediate();
    isFull = false;
    await until(round);
    assert.ok((await looked) < 50, 'it waited for the disk');
    assert.ok(refused > 0);
  });

  it('leaves nothing of the segments that were written before it was stopped', async () => {
    const log = await fixture.open();
    await fill(log);
    const plain = plainCompaction(fixture.files.mount(), fixture.config);
    let written = 0;
    const engine: CompactionEngine = {
      compact: (options) => {
        const work = plain.compact(options);
        const clean: CompactionWork['clean'] = async (...group) => {
          const cleaned = await work.clean(...group);
          if (++written === 2) void log.compaction.stop();
          return cleaned;
        };
        return {
          map: (...dirty) => work.map(...dirty),
          setAborted: (aborted) => work.setAborted(aborted),
          clean,
          stop: () => work.stop(),
          close: () => work.close(),
        };
      },
    };
    const before = (await readAll(log)).length;
    await assert.rejects(until(log.compaction.run(engine, ROUND)), CompactionStopped);
    assert.ok(written >= 2);
    const entries = await fixture.files.mount().list(log.directory);
    assert.deepEqual(
      entries!.map(({ name }) => name).filter((name) => /\.(cleaned|swap)$/.test(name)),
      [],
    );
    assert.ok((await readAll(log)).length <= before);
    const again = await until(log.compaction.run(plain, ROUND));
    assert.ok(again.recordsRemoved > 0);
  });

  it('leaves other logs their turn', async () => {
    const first = await fixture.open();
    await fill(first);
    const second = await fixture.manager.create('u', 0, { config: fixture.config });
    second.updateConfig(fixture.config);
    await fill(second);
    // The first is the dirtier one, and always fails.
    await first.append(testBatch([{ key: 'k', value: 'x'.repeat(300), timestamp: 1 }])).written;
    const engine = plainCompaction(fixture.files.mount(), fixture.config);
    const cleaner = new LogCleaner({
      logs: () => [first, second],
      engine,
      settings: () => SETTINGS,
      limitRate: () => {},
      clock: fixture.clock,
      logger: silentLogger,
    });
    first.compaction.run = async () => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    };
    const before = (await readAll(second)).length;
    cleaner.start();
    for (let turn = 0; turn < 2000 && cleaner.metrics.runs === 0; turn++) {
      fixture.clock.runNext(fixture.clock.now() + 1000);
      await setImmediate();
    }
    assert.equal(cleaner.metrics.runs, 1);
    assert.ok(cleaner.metrics.failures < 20, `${cleaner.metrics.failures} failures`);
    assert.ok((await readAll(second)).length < before);
    await cleaner.stop();
  });

  it('is tried again after payload could not be flushed because its stores were away', async () => {
    const log = await fixture.open();
    await fill(log);
    let areAway = true;
    log.payload = {
      needsFlush: true,
      flush: async () => {
        if (areAway) throw new LogError(LogErrorCode.NOT_ENOUGH_REPLICAS, 'no store is there');
      },
    };
    const cleaner = new LogCleaner({
      logs: () => [log],
      engine: plainCompaction(fixture.files.mount(), fixture.config),
      settings: () => SETTINGS,
      limitRate: () => {},
      clock: fixture.clock,
      logger: silentLogger,
    });
    cleaner.start();
    for (let turn = 0; turn < 2000 && cleaner.metrics.runs === 0; turn++) {
      fixture.clock.runNext(fixture.clock.now() + 1000);
      await setImmediate();
      if (cleaner.metrics.failures === 2) areAway = false;
    }
    assert.deepEqual(cleaner.uncleanable(), []);
    assert.equal(cleaner.metrics.runs, 1);
    await cleaner.stop();
  });

  it('heeds a limit that is changed while a round runs', async () => {
    const log = await fixture.open();
    await fill(log);
    const limits: number[] = [];
    let settings = SETTINGS;
    const cleaner = new LogCleaner({
      logs: () => [log],
      engine: plainCompaction(fixture.files.mount(), fixture.config),
      settings: () => settings,
      limitRate: (rate) => limits.push(rate),
      clock: fixture.clock,
      logger: silentLogger,
    });
    let end = () => {};
    const round = new Promise<never>((_, reject) => {
      end = () => reject(new Error('the end of the test'));
    });
    log.compaction.run = () => round;
    cleaner.start();
    const live = async () => {
      for (let turn = 0; turn < 20; turn++) {
        fixture.clock.runNext(fixture.clock.now() + 1000);
        await setImmediate();
      }
    };
    await live();
    settings = { ...SETTINGS, maxIoBytesPerSecond: 1000 };
    await live();
    assert.deepEqual([limits[0], limits.at(-1)], [0, 1000]);
    end();
    await cleaner.stop();
  });

  it('does not take a directory of many segments for damaged when its checkpoints are lost', async () => {
    const log = await fixture.open();
    await fill(log);
    await until(log.compaction.run(plainCompaction(fixture.files.mount(), fixture.config), ROUND));
    const end = log.logEndOffset;
    const count = (await readAll(log)).length;
    await log.flush();
    const lost = ['recovery-point-offset-checkpoint', 'cleaner-offset-checkpoint'].map(
      (each) => `/data/${each}`,
    );
    const again = await fixture.crash({ power: true, without: lost });
    assert.equal(again.logEndOffset, end);
    assert.equal((await readAll(again)).length, count);
  });

  it('does not believe a checkpoint that lies behind the end of the log', async () => {
    const log = await fixture.open();
    await fill(log);
    await fixture.manager.close();
    const path = '/data/cleaner-offset-checkpoint';
    fixture.files.put(path, new TextEncoder().encode('0\n1\nt 0 1000\n'));
    const again = await fixture.open();
    assert.equal(again.compaction.cleanedOffset, again.logEndOffset);
  });

  it('compacts again what was compacted by window', async () => {
    fixture.config = { ...fixture.config, compactionStrategy: 'time-window', compactionWindowMs: 1000 };
    const log = await fixture.open();
    log.compaction.cleanedOffset = 5n;
    log.updateConfig({ ...fixture.config, compactionWindowMs: 500 });
    assert.equal(log.compaction.cleanedOffset, 5n, 'narrower windows keep more');
    log.updateConfig({ ...fixture.config, compactionStrategy: 'keep-latest' });
    assert.equal(log.compaction.cleanedOffset, 0n);
  });
});
