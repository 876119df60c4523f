import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { arenaStats } from '../../native/arena.ts';
import { Codec, compress } from '../../native/codec.ts';
import { splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { inNativeMemory, TestBroker, topicConfig, withoutPlace } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const CONFIG = topicConfig({
  'payload.min.bytes': '2000',
  'payload.segment.bytes': '1048576',
  'segment.bytes': '1048576',
});
const PRODUCER = { producerId: 5n, producerEpoch: 0 };

interface BatchStep {
  kind: 'batch';
  /** Value lengths; -1 for null. */
  values: number[];
  codec: Codec;
  idempotent: boolean;
  inFrame: boolean;
  allReplicas: boolean;
  fill: number;
}
type Step = BatchStep | { kind: 'stop' | 'crash' | 'settle' | 'retry' } | { kind: 'delete'; share: number };

const batchStep = fc.record({
  kind: fc.constant('batch' as const),
  values: fc.array(
    fc.oneof(
      fc.constantFrom(-1, 0, 1),
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 3000, max: 150_000 }),
    ),
    {
      minLength: 1,
      maxLength: 5,
    },
  ),
  codec: fc.constantFrom<Codec>(Codec.NONE, Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD),
  idempotent: fc.boolean(),
  inFrame: fc.boolean(),
  allReplicas: fc.boolean(),
  fill: fc.nat(255),
});
const steps = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: batchStep as fc.Arbitrary<Step> },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Step>(
        { kind: 'stop' },
        { kind: 'crash' },
        { kind: 'settle' },
        { kind: 'retry' },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('delete' as const),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
  ),
  { maxLength: 40 },
);

/** Runs steps against a partition and a list of what it has to hold. */
class Model {
  readonly #directory: string;
  readonly #held: { baseOffset: bigint; bytes: Buffer; diverted: boolean }[] = [];
  #broker!: TestBroker;
  #pending: Promise<void>[] = [];
  #sequence = 0;
  #lastIdempotent: { batch: Uint8Array; baseOffset: bigint } | null = null;
  #logStart = 0n;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async start(): Promise<void> {
    this.#broker = await TestBroker.start(this.#directory, [TOPIC], CONFIG);
  }

  get #partition() {
    return this.#broker.partitions.find('t', 0)!;
  }

  async run(step: Step): Promise<void> {
    if (step.kind === 'batch') return this.#produce(step);
    await Promise.all(this.#pending);
    this.#pending = [];
    if (step.kind === 'delete') return this.#delete(step.share);
    if (step.kind === 'retry') return this.#retry();
    if (step.kind === 'settle') return this.verify();
    if (step.kind === 'stop') await this.#broker.stop();
    else await this.#broker.crash();
    await this.start();
    await this.verify();
  }

  #produce(step: BatchStep): void {
    const records = step.values.map((length, i) => ({
      key: i % 2 === 0 ? Buffer.from(`key ${i}`) : null,
      value: length < 0 ? null : Buffer.alloc(length, `${step.fill}:${i}:`),
      headers: [{ key: 'h', value: Buffer.from([step.fill]) }],
    }));
    const codec = step.codec;
    const batch = buildBatch(records, {
      timestamp: BigInt(Date.now()),
      attributes: codec,
      ...(codec === Codec.NONE ? {} : { compress: (plain) => compress(codec, plain) }),
      ...(step.idempotent ? { ...PRODUCER, baseSequence: this.#sequence } : {}),
    });
    if (step.idempotent) this.#sequence += records.length;
    this.#pending.push(
      this.#send(
        batch,
        step,
        records.some(({ value }) => value !== null),
      ),
    );
  }

  async #send(
    batch: Uint8Array,
    { inFrame, allReplicas, idempotent, values }: BatchStep,
    hasValue: boolean,
  ): Promise<void> {
    const bytes = Buffer.from(batch);
    const frame = inFrame ? inNativeMemory(batch) : null;
    const { baseOffset } = await this.#partition.produce(
      frame?.bytes() ?? Uint8Array.from(batch),
      frame,
      allReplicas,
    );
    frame?.release();
    const diverted = hasValue && Math.floor((batch.byteLength - 61) / values.length) >= 2000;
    this.#held.push({ baseOffset, bytes, diverted });
    if (idempotent && baseOffset >= (this.#lastIdempotent?.baseOffset ?? 0n))
      this.#lastIdempotent = { batch: bytes, baseOffset };
  }

  async #retry(): Promise<void> {
    if (this.#lastIdempotent === null) return;
    const { batch, baseOffset } = this.#lastIdempotent;
    const again = await this.#partition.produce(Uint8Array.from(batch), null, true);
    assert.equal(again.baseOffset, baseOffset);
  }

  async #delete(share: number): Promise<void> {
    const { highWatermark } = this.#partition;
    const offset = this.#logStart + BigInt(Math.floor(share * Number(highWatermark - this.#logStart)));
    this.#logStart = await this.#partition.deleteRecordsBefore(offset);
    assert.equal(this.#logStart, offset);
  }

  /** Everything is there, in order, byte for byte; and no payload but that of what is there. */
  async verify(): Promise<void> {
    await Promise.all(this.#pending);
    this.#pending = [];
    const live = this.#held
      .sort((a, b) => Number(a.baseOffset - b.baseOffset))
      .filter((_, i) => this.#isLive(i));
    const found: Buffer[] = [];
    let offset = this.#logStart;
    while (offset < this.#partition.highWatermark) {
      const { bytes, result } = await this.#broker.fetch('t', 0, offset, { maxBytes: 100_000 });
      assert.equal(result.errorCode, 0);
      for (const { bytes: batch, header } of splitBatches(bytes)) {
        found.push(withoutPlace(batch));
        offset = header.baseOffset + BigInt(header.recordCount);
      }
    }
    assert.equal(found.length, live.length);
    for (const [i, batch] of found.entries())
      assert.ok(batch.equals(withoutPlace(live[i]!.bytes)), `batch ${i} differs`);
    await this.#partition.payloads.reclaimBefore(this.#logStart);
    const liveBytes = live.reduce(
      (sum, { diverted, bytes }) => sum + (diverted ? bytes.byteLength - 61 : 0),
      0,
    );
    assert.equal(this.#partition.payloads.liveBytes, liveBytes);
    if (liveBytes === 0) assert.deepEqual(payloadFiles(this.#directory), []);
  }

  #isLive(index: number): boolean {
    const next = this.#held[index + 1]?.baseOffset ?? this.#partition.highWatermark;
    return next > this.#logStart;
  }

  stop(): Promise<void> {
    return this.#broker.stop();
  }
}

function payloadFiles(directory: string): string[] {
  try {
    return readdirSync(join(directory, 't-0', 'payload'));
  } catch {
    return [];
  }
}

describe('produced bytes', () => {
  it('are the bytes that are fetched, with restarts, crashes and deletions in between', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const directory = mkdtempSync(join(tmpdir(), 'round-trip-'));
        const model = new Model(directory);
        await model.start();
        try {
          for (const step of plan) await model.run(step);
          await model.verify();
        } finally {
          await model.stop();
          rmSync(directory, { recursive: true });
        }
        assert.equal(arenaStats().usedBytes, 0);
      }),
      { numRuns: 30, seed: Number(process.env.KAFABRIC_TEST_SEED ?? 42) },
    );
  });
});
