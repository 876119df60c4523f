import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { Attribute } from '../../protocol/records/batch-header.ts';
import { LogError } from './errors.ts';
import type { PartitionLog } from './partition-log.ts';
import { testBatch, testMarker } from './testing/batches.ts';
import { LogFixture } from './testing/log-fixture.ts';
import { LogModel } from './testing/log-model.ts';

const SEEDS = Number(process.env.KAFABRIC_LOG_SEEDS ?? 40);
const STEPS = 120;
/** Producer 0 stands for batches without one. */
const PRODUCERS = 6;
const FIRST_TRANSACTIONAL = 3;

/** Appends, flushes, rolls, truncates, deletes, runs full, closes and crashes at random, and compares with a model. */
class Simulation {
  readonly #fixture: LogFixture;
  readonly #model = new LogModel();
  readonly #sequences = new Map<number, number>();
  #log!: PartitionLog;
  readonly trace: string[] = [];

  constructor(seed: number) {
    this.#fixture = new LogFixture(seed, {
      segmentBytes: 2000,
      segmentMs: 600_000,
      indexIntervalBytes: 200,
      retentionMs: -1,
      fileDeleteDelayMs: 1000,
    });
  }

  async run(): Promise<void> {
    this.#log = await this.#fixture.open();
    this.#log.becomeLeader(0);
    for (let step = 0; step < STEPS; step++) await this.#step();
    await this.#settle();
    await this.#check();
  }

  async #step(): Promise<void> {
    const { random } = this.#fixture;
    const dice = random.below(100);
    if (dice < 48) return this.#append(random.chance(0.5));
    if (dice < 55) return this.#endTransaction();
    if (dice < 70) return this.#do('flush', () => this.#flush());
    if (dice < 76) return this.#do('time', () => this.#passTime());
    if (dice < 79) return this.#do('check', () => this.#check());
    if (dice < 82) return this.#do('truncate', () => this.#truncate());
    if (dice < 84) return this.#do('delete records', () => this.#deleteRecords());
    if (dice < 86) return this.#do('full', () => this.#runFull());
    if (dice < 90) return this.#do('reopen', () => this.#reopen());
    return this.#do('crash', () => this.#crash(random.chance(0.5)));
  }

  async #do(name: string, action: () => Promise<void>): Promise<void> {
    this.trace.push(name);
    await action();
  }

  async #append(wait: boolean): Promise<void> {
    const { random, clock } = this.#fixture;
    clock.tick(random.below(1000));
    const producer = random.below(PRODUCERS);
    const count = 1 + random.below(4);
    const sequence = this.#sequences.get(producer) ?? 0;
    const records = Array.from({ length: count }, () => ({
      timestamp: clock.now() - random.below(5000),
      value: 'v'.repeat(random.below(120)),
    }));
    const attributes = producer >= FIRST_TRANSACTIONAL ? Attribute.transactional : 0;
    const identity =
      producer === 0
        ? {}
        : { producerId: BigInt(producer), producerEpoch: 0, baseSequence: sequence, attributes };
    const bytes = testBatch(records, identity);
    const result = this.#log.append(bytes);
    this.trace.push(`append ${result.baseOffset}-${result.lastOffset}`);
    assert.equal(result.duplicate, false);
    assert.equal(result.baseOffset, this.#log.logEndOffset - BigInt(count));
    this.#sequences.set(producer, sequence + count);
    this.#model.append(bytes);
    if (wait) await result.written;
  }

  async #endTransaction(): Promise<void> {
    const { random, clock } = this.#fixture;
    const producerId = BigInt(FIRST_TRANSACTIONAL + random.below(PRODUCERS - FIRST_TRANSACTIONAL));
    const identity = { producerId, producerEpoch: 0, timestamp: clock.now() };
    const bytes = testMarker(random.chance(0.5), 0, identity);
    const result = this.#log.append(bytes, 'coordinator');
    this.trace.push(`end of ${producerId} at ${result.baseOffset}`);
    this.#model.append(bytes);
    await result.written;
  }

  async #flush(): Promise<void> {
    const end = this.#log.logEndOffset;
    await this.#log.flush();
    this.#model.durableOffset = end;
  }

  async #passTime(): Promise<void> {
    this.#fixture.clock.tick(this.#fixture.random.below(400_000));
    await this.#settle();
  }

  async #check(): Promise<void> {
    await this.#log.flush();
    this.#model.durableOffset = this.#log.logEndOffset;
    await this.#model.check(this.#log, this.#fixture.random);
  }

  async #truncate(): Promise<void> {
    const { random } = this.#fixture;
    const back = BigInt(random.below(Number(this.#log.logEndOffset - this.#log.logStartOffset) + 1));
    const offset = this.#log.logEndOffset - (random.chance(0.9) ? back % 20n : back);
    await this.#log.truncateTo(offset);
    this.#model.truncateTo(offset);
    this.#adoptEnd(this.#log.logEndOffset);
  }

  async #deleteRecords(): Promise<void> {
    const { random } = this.#fixture;
    await this.#flush();
    this.#log.highWatermark = this.#log.logEndOffset;
    const span = Number(this.#log.logEndOffset - this.#log.logStartOffset) + 1;
    const offset = this.#log.logStartOffset + BigInt(random.below(span));
    assert.equal(await this.#log.deleteRecordsBefore(offset), offset);
    this.#model.startOffset = offset;
    await this.#log.deleteOldSegments();
  }

  /** The disk runs full in the middle of appends, also for new names; what was not acknowledged goes, and appending works again after that. */
  async #runFull(): Promise<void> {
    const { files, random } = this.#fixture;
    await this.#settle();
    files.capacityBytes = files.usedBytes() + random.below(300);
    files.fault = (operation) => (operation === 'rename' && random.chance(0.3) ? 'ENOSPC' : null);
    const written: Promise<unknown>[] = [];
    for (let count = 0; count < 5; count++) {
      try {
        const result = this.#log.append(
          testBatch([{ timestamp: this.#fixture.clock.now(), value: 'x'.repeat(100) }]),
        );
        if (result.written) written.push(result.written);
      } catch (error) {
        assert.ok(error instanceof LogError);
      }
    }
    await Promise.allSettled(written);
    await this.#settle();
    files.capacityBytes = Number.POSITIVE_INFINITY;
    files.fault = () => null;
    this.#fixture.clock.tick(2000);
    await this.#settle();
    await this.#log.truncateTo(this.#model.endOffset);
    this.#adoptEnd(this.#model.endOffset);
  }

  async #reopen(): Promise<void> {
    await this.#settle();
    this.#log = await this.#fixture.reopen();
    assert.equal(this.#log.recoveredFrom, null);
    this.#model.durableOffset = this.#model.endOffset;
    await this.#afterStart(this.#model.endOffset);
  }

  async #crash(power: boolean): Promise<void> {
    const least = power ? this.#model.durableOffset : this.#log.writtenEndOffset;
    this.trace.push(power ? 'power' : 'kill');
    this.#log = await this.#fixture.crash({ power });
    assert.notEqual(this.#log.recoveredFrom, null);
    await this.#afterStart(least);
  }

  async #afterStart(least: bigint): Promise<void> {
    this.#adoptEnd(least);
    this.#log.becomeLeader(this.#log.leaderEpoch + 1);
    await this.#model.check(this.#log, this.#fixture.random);
  }

  #adoptEnd(least: bigint): void {
    this.#model.adoptEnd(this.#log, least);
    for (let producer = 1; producer < PRODUCERS; producer++) {
      const entry = this.#log.activeProducers().find(({ producerId }) => producerId === BigInt(producer));
      this.#sequences.set(producer, (entry?.batches.at(-1)?.lastSequence ?? -1) + 1);
    }
  }

  async #settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  }
}

describe('log simulation', () => {
  it(`loses nothing that was flushed and stays consistent (${SEEDS} seeds)`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const simulation = new Simulation(seed);
      try {
        await simulation.run();
      } catch (error) {
        throw new Error(`seed ${seed} after ${simulation.trace.slice(-15).join(', ')}`, { cause: error });
      }
    }
  });
});
