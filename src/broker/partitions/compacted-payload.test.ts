import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { Codec, compress, decompress } from '../../native/codec.ts';
import { Store } from '../../native/store.ts';
import { BatchHeader, splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { checkPayload } from '../verify/payload-check.ts';
import type { Partition } from './partition.ts';
import { TestBroker, topicConfig, withoutPlace } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };
const CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD];
/** Two of such values fill a payload segment. */
const LARGE = 600_000;

describe('compacted topics whose payload is diverted', () => {
  let directory: string;
  let broker: TestBroker;
  let partition: Partition;
  let nowMs: number;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'compacted-payload-'));
    nowMs = 1_700_000_000_000;
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  async function start(releaseDelayMs = 0): Promise<void> {
    const config = topicConfig({
      'cleanup.policy': 'compact',
      'payload.min.bytes': '2000',
      'payload.segment.bytes': '1048576',
      'segment.ms': '1000',
      'file.delete.delay.ms': String(releaseDelayMs),
      'message.timestamp.after.max.ms': '9223372036854775807',
    });
    broker = await TestBroker.start(directory, [TOPIC], config);
    partition = broker.partitions.find('t', 0)!;
  }

  function batchOf(values: Record<string, string | null>, codec: Codec = Codec.NONE): Uint8Array {
    const records = Object.entries(values).map(([key, value]) => ({
      key: Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestamp: BigInt(nowMs),
    }));
    const packs = codec !== Codec.NONE && { compress: (section: Uint8Array) => compress(codec, section) };
    return buildBatch(records, { attributes: codec, ...packs });
  }

  /** A value that does not compress, so that it is diverted with every codec. */
  function large(fill: number, bytes = LARGE): string {
    let state = fill + 1;
    const value = Buffer.alloc(bytes);
    for (let i = 0; i < bytes; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      value[i] = 32 + ((state >>> 16) % 90);
    }
    return value.toString('latin1');
  }

  async function produce(batch: Uint8Array): Promise<Uint8Array> {
    await partition.produce(batch, null, true);
    return batch;
  }

  /** Ends the segment, so that all before it can be compacted. */
  async function roll(): Promise<void> {
    nowMs += 2000;
    await produce(batchOf({ roll: '' }));
  }

  async function fetchAll(): Promise<Buffer[]> {
    const batches: Buffer[] = [];
    for (let offset = 0n; offset < partition.highWatermark; ) {
      const { result, bytes } = await broker.fetch('t', 0, offset, { maxBytes: 1 << 20 });
      assert.equal(result.errorCode, 0);
      const found = splitBatches(bytes).map((batch) => Buffer.from(batch.bytes));
      assert.ok(found.length > 0);
      batches.push(...found);
      offset = new BatchHeader(found.at(-1)!).lastOffset + 1n;
    }
    return batches;
  }

  function recordsOf(batches: readonly Uint8Array[]) {
    const unpack = (codec: number, section: Uint8Array) => decompress(codec as Codec, section, 1 << 24);
    return batches
      .flatMap((batch) => readRecords(batch, unpack))
      .map(({ offset, key, value }) => [
        Number(offset),
        String(Buffer.from(key!)),
        value && String(Buffer.from(value)),
      ])
      .filter(([, key]) => key !== 'roll');
  }

  /** The payload that is there is what the log refers to. */
  async function verify(): Promise<void> {
    await broker.stop();
    const store = new Store({ threads: 1 });
    try {
      const options = {
        store,
        directories: [directory],
        tiers: [],
        topics: null,
        openStores: null,
        readPayload: true,
        repair: false,
      };
      const { problems, outage } = await checkPayload(options);
      assert.deepEqual([problems, outage], [[], null]);
    } finally {
      await store.shutdown();
    }
    await start();
  }

  const payloadFiles = () =>
    readdirSync(join(directory, 't-0', 'payload')).filter((name) => name.endsWith('.payload'));
  const settle = async (isDone: () => boolean) => {
    while (!isDone()) await new Promise((done) => setTimeout(done, 5));
  };

  for (const codec of CODECS) {
    it(`give back what is left of a batch, codec ${codec}, and the payload of what is not`, async () => {
      await start();
      const [a, b, c] = [large(1, 5000), large(2, 6000), large(3, 7000)];
      await produce(batchOf({ a, b, gone: null }, codec));
      const whole = await produce(batchOf({ a: c }, codec));
      await roll();
      const payload = partition.payloads.liveBytes;
      await partition.log.compaction.run(broker.store, ROUND);
      const used = arenaStats().usedBytes;
      const batches = await fetchAll();
      assert.deepEqual(recordsOf(batches), [
        [1, 'b', b],
        [2, 'gone', null],
        [3, 'a', c],
      ]);
      assert.ok(withoutPlace(batches[1]!).equals(withoutPlace(whole)));
      assert.equal(partition.payloads.liveBytes, payload, 'both are still needed');
      await produce(batchOf({ b: 'small' }));
      await roll();
      await partition.log.compaction.run(broker.store, ROUND);
      await settle(() => partition.payloads.liveBytes === whole.byteLength - 61);
      assert.deepEqual(recordsOf(await fetchAll()), [
        [2, 'gone', null],
        [3, 'a', c],
        [5, 'b', 'small'],
      ]);
      await verify();
      assert.equal(partition.payloads.liveBytes, whole.byteLength - 61);
      assert.ok(arenaStats().usedBytes - used < 1 << 22);
    });
  }

  it('lose payload segments to which nothing refers', async () => {
    await start();
    for (let i = 0; i < 6; i++) await produce(batchOf({ [`k${i % 2}`]: large(i) }));
    await roll();
    assert.equal(payloadFiles().length, 6);
    await partition.log.compaction.run(broker.store, ROUND);
    await settle(() => payloadFiles().length === 2);
    assert.equal(recordsOf(await fetchAll()).length, 2);
    await verify();
    assert.equal(payloadFiles().length, 2);
  });

  it('find after a crash what had not been released', async () => {
    await start(3_600_000);
    const kept = batchOf({ a: large(9, 5000) });
    for (let i = 0; i < 4; i++) await produce(batchOf({ a: large(i, 5000) }));
    for (let i = 0; i < 4; i++) await produce(batchOf({ b: large(i) }));
    await produce(kept);
    await roll();
    await partition.log.compaction.run(broker.store, ROUND);
    const before = partition.payloads.liveBytes;
    await broker.crash();
    await start();
    assert.ok(partition.payloads.liveBytes < before);
    const live = recordsOf(await fetchAll());
    assert.deepEqual(
      live.map(([, key]) => key),
      ['b', 'a'],
    );
    assert.equal(
      partition.payloads.liveBytes,
      kept.byteLength - 61 + batchOf({ b: large(3) }).byteLength - 61,
    );
    await verify();
  });

  it('release what waits when they are closed', async () => {
    await start(3_600_000);
    for (let i = 0; i < 4; i++) await produce(batchOf({ a: large(i) }));
    await roll();
    await partition.log.compaction.run(broker.store, ROUND);
    assert.equal(payloadFiles().length, 4);
    await verify();
    assert.equal(payloadFiles().length, 1);
  });

  it('keep payload to which batches behind damage of the log refer', async () => {
    await start();
    for (const [i, key] of ['a', 'b', 'c', 'd', 'e'].entries()) await produce(batchOf({ [key]: large(i) }));
    await roll();
    await broker.stop();
    await start();
    const [before, files] = [await fetchAll(), payloadFiles()];
    const log = join(directory, 't-0', `${'0'.repeat(20)}.log`);
    const bytes = readFileSync(log);
    const damaged = Buffer.from(bytes);
    damaged[16] = 99; // the magic of its first batch
    writeFileSync(log, damaged);
    await produce(batchOf({ roll: '' }));
    await broker.crash();
    await start();
    writeFileSync(log, bytes);
    assert.deepEqual(payloadFiles(), files);
    assert.deepEqual((await fetchAll()).slice(0, before.length), before);
  });
});
