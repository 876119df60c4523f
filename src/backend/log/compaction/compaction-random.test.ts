import assert from 'node:assert/strict';
import { Codec } from '../../../native/codec.ts';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { CompactionFixture, type KeyedRecord, ROUND } from './compaction.fixture.ts';
import { CompactionStopped } from './log-compaction.ts';

const SEEDS = Number(process.env.KAFABRIC_COMPACTION_SEEDS ?? 12);
const STEPS = 150;
const CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD];

interface ModelRecord extends KeyedRecord {
  readonly offset: bigint;
}

/** What was written, and what of it counts. */
class Model {
  readonly records = new Map<bigint, ModelRecord>();
  readonly open = new Map<bigint, ModelRecord[]>();

  write(baseOffset: bigint, records: readonly KeyedRecord[], transaction: bigint | null): void {
    const placed = records.map((record, index) => ({ ...record, offset: baseOffset + BigInt(index) }));
    if (transaction === null) for (const record of placed) this.records.set(record.offset, record);
    else this.open.set(transaction, [...(this.open.get(transaction) ?? []), ...placed]);
  }

  end(transaction: bigint, commit: boolean): void {
    if (commit)
      for (const record of this.open.get(transaction) ?? []) this.records.set(record.offset, record);
    this.open.delete(transaction);
  }

  /** The last record of each key below an offset. */
  latest(end: bigint): Map<string, ModelRecord> {
    const latest = new Map<string, ModelRecord>();
    for (const record of [...this.records.values()].sort((a, b) => (a.offset < b.offset ? -1 : 1)))
      if (record.key !== null && record.offset < end) latest.set(record.key, record);
    return latest;
  }
}

class Run {
  readonly fixture: CompactionFixture;
  readonly trace: string[] = [];
  readonly #random: SeededRandom;
  readonly #model = new Model();
  readonly #sequences = new Map<bigint, number>();

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.fixture = new CompactionFixture({ deleteRetentionMs: this.#random.pick([0, 5000, 60_000]) });
  }

  async run(): Promise<void> {
    await this.fixture.open();
    for (let step = 0; step < STEPS; step++) await this.#step();
    for (const transaction of [...this.#model.open.keys()]) await this.#end(transaction);
    await this.fixture.roll();
    await this.#compact();
    await this.#check();
    await this.#checkClean();
  }

  #step(): Promise<void> {
    const dice = this.#random.below(100);
    if (dice < 62) return this.#write();
    if (dice < 72) return this.#endOne();
    if (dice < 80) return this.#do('roll', () => this.fixture.roll());
    if (dice < 92) return this.#do('compact', () => this.#compact());
    if (dice < 95) return this.#do('time', async () => this.fixture.clock.tick(this.#random.below(20_000)));
    if (dice < 98) return this.#do('reopen', () => this.#start(() => this.fixture.reopen()));
    return this.#do('crash', () => this.#start(() => this.fixture.crash()));
  }

  async #do(name: string, action: () => Promise<void>): Promise<void> {
    this.trace.push(name);
    await action();
    await this.#check();
  }

  async #start(action: () => Promise<void>): Promise<void> {
    await action();
    for (const [producerId, sequence] of this.#sequences) {
      const entry = this.fixture.log.producer(producerId);
      assert.equal(entry?.batches.at(-1)?.lastSequence, sequence - 1, `producer ${producerId}`);
    }
  }

  async #write(): Promise<void> {
    const random = this.#random;
    const producerId = BigInt(random.below(6));
    const records = Array.from({ length: 1 + random.below(5) }, () => ({
      key: random.chance(0.03) ? null : `k${random.below(20)}`,
      value: random.chance(0.2) ? null : 'v'.repeat(random.below(200)) + random.below(1000),
    }));
    // Producer 0 stands for none, and those from 3 on are transactional.
    const transactional = producerId >= 3n;
    const baseSequence = this.#sequences.get(producerId) ?? 0;
    const identity = producerId === 0n ? {} : { producerId, baseSequence, transactional };
    this.fixture.clock.tick(random.below(50));
    const baseOffset = await this.fixture.write(records, { codec: random.pick(CODECS), ...identity });
    this.trace.push(`write ${baseOffset}+${records.length} by ${producerId}`);
    if (producerId > 0n) this.#sequences.set(producerId, baseSequence + records.length);
    this.#model.write(baseOffset, records, transactional ? producerId : null);
  }

  async #endOne(): Promise<void> {
    const open = [...this.#model.open.keys()];
    if (open.length > 0) await this.#end(this.#random.pick(open));
  }

  async #end(transaction: bigint): Promise<void> {
    const commit = this.#random.chance(0.6);
    const offset = await this.fixture.endTransaction(commit ? 'commit' : 'abort', transaction);
    this.trace.push(`${commit ? 'commit' : 'abort'} ${transaction} at ${offset}`);
    this.#model.end(transaction, commit);
  }

  async #compact(): Promise<void> {
    const mapBytes = this.#random.pick([24 * 12, 24 * 40, 1 << 20]);
    try {
      await this.fixture.compact({ ...ROUND, mapBytes });
    } catch (error) {
      assert.ok(!(error instanceof CompactionStopped), 'nobody stops it');
      throw error;
    }
  }

  /** What is there was written; what a reader ends up with is what was written last. */
  async #check(): Promise<void> {
    const found = (await this.fixture.read()).filter(({ key }) => !key?.startsWith('roll'));
    const latest = new Map<string, ModelRecord>();
    for (const record of found) {
      const { offset, key, value } = record;
      const written = this.#model.records.get(offset);
      assert.deepEqual([key, value], [written?.key, written?.value], `offset ${offset}`);
      if (key !== null) latest.set(key, record);
    }
    const { log } = this.fixture;
    for (const [key, { offset, value }] of this.#model.latest(log.firstUnstableOffset ?? log.logEndOffset)) {
      const last = latest.get(key);
      if (value === null && last === undefined) continue;
      assert.deepEqual([last?.offset, last?.value], [offset, value], key);
    }
  }

  /** Each key is there once, and no record without one. */
  async #checkClean(): Promise<void> {
    for (
      let round = 0;
      this.fixture.log.compaction.cleanedOffset < (await this.fixture.log.compaction.survey()).end;
      round++
    ) {
      assert.ok(round < 100, 'it does not end');
      await this.fixture.compact();
    }
    const end = this.fixture.log.compaction.cleanedOffset;
    const keys = (await this.fixture.read()).filter(({ offset }) => offset < end).map(({ key }) => key);
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(!keys.includes(null));
  }
}

describe('log compaction at random', () => {
  it(`reads as the last records of each key say (${SEEDS} seeds)`, async function () {
    this.timeout(300_000 + SEEDS * 10_000);
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = new Run(seed);
      try {
        await run.run();
      } catch (error) {
        throw new Error(`seed ${seed} after ${run.trace.slice(-15).join(', ')}`, { cause: error });
      } finally {
        await run.fixture.end();
      }
    }
  });
});
