import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { BATCH_HEADER_SIZE } from '../../../protocol/records/batch-header.ts';
import { RecordCursor, viewOf } from '../batch.ts';
import type { PartitionLog } from '../partition-log.ts';
import { testBatch } from '../testing/batches.ts';
import { LogFixture, readAll } from '../testing/log-fixture.ts';
import { plainCompaction } from '../testing/plain-compaction.ts';

const SEEDS = Number(process.env.KAFABRIC_COMPACTION_CRASHES ?? 60);
const STEPS = 25;
const KEYS = 9;
const LOST_CHECKPOINTS = ['/data/recovery-point-offset-checkpoint', '/data/cleaner-offset-checkpoint'];
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };

/** Appends, flushes and compacts, and is killed or loses its power at any moment of that. */
class Run {
  readonly fixture: LogFixture;
  readonly trace: string[] = [];
  #log!: PartitionLog;
  #written: { offset: bigint; key: string; value: string }[] = [];
  #durable = 0n;
  #number = 0;

  constructor(seed: number) {
    this.fixture = new LogFixture(seed, {
      segmentBytes: 1000,
      segmentMs: 600_000,
      indexIntervalBytes: 200,
      retentionMs: -1,
      fileDeleteDelayMs: 1000,
      cleanupDelete: false,
      cleanupCompact: true,
    });
  }

  async run(): Promise<void> {
    const { random } = this.fixture;
    this.#log = await this.fixture.open();
    this.#log.becomeLeader(0);
    for (let step = 0; step < STEPS; step++) {
      for (let count = random.below(25); count > 0; count--) await this.#append();
      if (random.chance(0.5)) await this.#flush();
      this.fixture.clock.tick(random.below(90_000));
      for (let turn = 0; turn < 20; turn++) await setImmediate();
      await this.#compact(random.chance(0.5));
      await this.#check();
    }
    await this.fixture.manager.close();
  }

  async #append(): Promise<void> {
    const key = `k${this.fixture.random.below(KEYS)}`;
    const value = `${this.#number++}`;
    const { baseOffset, written } = this.#log.append(
      testBatch([{ key, value, timestamp: this.fixture.clock.now() }]),
    );
    await written;
    this.#log.highWatermark = this.#log.writtenEndOffset;
    this.#written.push({ offset: baseOffset, key, value });
  }

  async #flush(): Promise<void> {
    const end = this.#log.logEndOffset;
    await this.#log.flush();
    this.#durable = end;
  }

  async #compact(crashes: boolean): Promise<void> {
    const { random, files } = this.fixture;
    this.trace.push(crashes ? 'compact and crash' : 'compact');
    const engine = plainCompaction(files.mount(), this.fixture.config);
    const round = this.#log.compaction.run(engine, ROUND);
    round.catch(() => {});
    if (!crashes) {
      await round;
      return;
    }
    for (let turn = random.below(400); turn > 0; turn--) await null;
    const power = random.chance(0.6);
    const least = power ? this.#durable : this.#log.writtenEndOffset;
    this.trace.push(power ? 'power' : 'kill');
    const without = random.chance(0.4) ? LOST_CHECKPOINTS : [];
    if (without.length > 0) this.trace.push('without checkpoints');
    this.#log = await this.fixture.crash({ power, without });
    this.#log.becomeLeader(this.#log.leaderEpoch + 1);
    this.#log.highWatermark = this.#log.writtenEndOffset;
    const end = this.#log.logEndOffset;
    assert.ok(end >= least, `the log ends at ${end}, before ${least}`);
    this.#written = this.#written.filter(({ offset }) => offset < end);
    this.#durable = end;
    await this.#log.flush();
  }

  /** What is there was written, and the last record of each key is there. */
  async #check(): Promise<void> {
    const found = new Map<bigint, string>();
    for (const { baseOffset, bytes } of await readAll(this.#log)) {
      const record = new RecordCursor(viewOf(bytes), BATCH_HEADER_SIZE, bytes.length).next();
      const text = (start: number, length: number) =>
        Buffer.from(bytes.subarray(start, start + length)).toString();
      const key = text(record.keyStart, record.keyBytes);
      found.set(baseOffset, `${key}=${text(record.valueStart, record.valueBytes)}`);
    }
    const all = new Map(this.#written.map(({ offset, key, value }) => [offset, `${key}=${value}`]));
    for (const [offset, text] of found) assert.equal(text, all.get(offset), `offset ${offset}`);
    const latest = new Map(this.#written.map((record) => [record.key, record]));
    for (const { offset, key, value } of latest.values())
      assert.equal(found.get(offset), `${key}=${value}`, `offset ${offset}`);
    const left = this.fixture.files.paths().filter((path) => /\.(swap|cleaned)$/.test(path));
    assert.deepEqual(left, []);
  }
}

describe('log compaction with crashes', () => {
  it(`loses no last record of a key, whenever the power fails (${SEEDS} seeds)`, async function () {
    this.timeout(300_000 + SEEDS * 2000);
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = new Run(seed);
      try {
        await run.run();
      } catch (error) {
        throw new Error(`seed ${seed} after ${run.trace.slice(-12).join(', ')}`, { cause: error });
      }
    }
  });
});
