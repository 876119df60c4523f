import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { assertInMemory } from '../../backend/payload/tiers/machine-memory.ts';
import type { MemorySettings } from '../../backend/payload/tiers/memory-tiers.ts';
import { BATCH_BYTES, TierFixture, type TierSetup } from './tiers.fixture.ts';

const MIB = 1 << 20;
/** What three batches take, with the gaps between them. */
const SEGMENT_LIMIT = 3 * BATCH_BYTES + 16_384;

describe('Payload in a tier in memory', () => {
  let tiers: TierFixture;
  let limits: MemorySettings;

  beforeEach(() => {
    tiers = new TierFixture(undefined, mkdtempSync('/dev/shm/test-tiers-'));
    limits = { mayLose: true, maxAgeMs: -1 };
  });
  afterEach(() => tiers.end());

  const start = (sizes: TierSetup['sizes'], more: Partial<TierSetup> = {}) =>
    tiers.start({ sizes, threshold: -1, memory: () => limits, ...more });

  /** Ends the process, and with it the machine: what is in memory is gone. */
  async function restartMachine(): Promise<void> {
    await tiers.broker!.crash();
    tiers.broker = null;
    rmSync(tiers.memory!, { recursive: true });
    mkdirSync(tiers.memory!);
  }

  /** Segments that are noted to be in memory. */
  const marks = () =>
    readdirSync(join(tiers.logs, 't-0', 'payload')).filter((name) => name.endsWith('.memory')).length;

  it('is there after a crash of the process', async () => {
    await start([[100 * MIB], [100 * MIB]]);
    await tiers.produce(7);
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length, marks()], [3, 0, 3]);
    await tiers.broker!.crash();
    await start([[100 * MIB], [100 * MIB]]);
    await tiers.check();
    tiers.checkSpace();
    assert.deepEqual(tiers.broker!.tiers.memory.lost, { batches: 0, bytes: 0 });
  });

  it('leaves memory on a clean stop, and does not come back', async () => {
    await start([[100 * MIB], [100 * MIB]], { threshold: 0.9 });
    await tiers.produce(7);
    await tiers.stop();
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length, marks()], [0, 3, 0]);
    rmSync(tiers.memory!, { recursive: true });
    await start([[100 * MIB], [100 * MIB]], { threshold: 0.9 });
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 0);
    await tiers.check();
    await tiers.produce(1);
    assert.equal(tiers.payload(0).length, 1);
    await tiers.check();
  });

  it('is lost with a restart of the machine, and with it its records and no others', async () => {
    await start([[2 * SEGMENT_LIMIT], [100 * MIB]]);
    await tiers.produce(10);
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [2, 2]);
    await restartMachine();
    await start([[2 * SEGMENT_LIMIT], [100 * MIB]]);
    const { memory } = tiers.broker!.tiers;
    assert.equal(memory.lost.batches, 6);
    assert.ok(memory.lost.bytes > 6 * BATCH_BYTES);
    const partition = tiers.broker!.partitions.find('t', 0)!;
    assert.deepEqual([partition.logStartOffset, partition.highWatermark], [0n, 10n]);
    // Who asks for what is lost gets what follows.
    const { result, bytes } = await tiers.broker!.fetch('t', 0, 0n);
    assert.deepEqual([result.errorCode, bytes.readBigInt64BE()], [0, 6n]);
    await tiers.check(6);
    assert.equal(marks(), 0);
    await tiers.produce(2);
    await tiers.check(6);
    tiers.checkSpace();
    await tiers.stop();
    await start([[2 * SEGMENT_LIMIT], [100 * MIB]]);
    await tiers.check(6);
    assert.equal(tiers.broker!.tiers.memory.lost.batches, 0);
  });

  it('is lost as a whole when all was there, and the log goes on', async () => {
    await start([[100 * MIB], [100 * MIB]]);
    await tiers.produce(4);
    await restartMachine();
    await start([[100 * MIB], [100 * MIB]]);
    const { result, bytes } = await tiers.broker!.fetch('t', 0, 0n);
    assert.deepEqual([result.errorCode, bytes.byteLength, result.highWatermark], [0, 0, 4n]);
    await tiers.produce(1);
    await tiers.check(4);
  });

  it('is not given up while another directory cannot be looked at', async () => {
    await start([[2 * SEGMENT_LIMIT], [100 * MIB]]);
    await tiers.produce(10);
    await restartMachine();
    renameSync(tiers.path(1), `${tiers.path(1)}.away`);
    await start([[2 * SEGMENT_LIMIT], [100 * MIB]]);
    assert.equal(tiers.broker!.tiers.memory.lost.batches, 0);
    assert.ok(marks() > 0);
    await tiers.broker!.crash();
    tiers.broker = null;
    if (existsSync(tiers.path(1))) rmSync(tiers.path(1), { recursive: true });
    renameSync(`${tiers.path(1)}.away`, tiers.path(1));
    await start([[2 * SEGMENT_LIMIT], [100 * MIB]]);
    assert.equal(tiers.broker!.tiers.memory.lost.batches, 6);
    await tiers.check(6);
  });

  it('is not used when more was promised', async () => {
    await start([[100 * MIB], [100 * MIB]]);
    await tiers.produce(4);
    limits = { mayLose: false, maxAgeMs: -1 };
    await tiers.produce(1);
    await tiers.settle();
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [0, 3]);
    await tiers.check();
  });

  it('stays there for as long as it may', async () => {
    await start([[100 * MIB], [100 * MIB]]);
    await tiers.produce(4);
    const { tiers: storage } = tiers.broker!;
    storage.memory.completeDue(storage.paths, Date.now());
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 2);
    limits = { mayLose: true, maxAgeMs: 0 };
    storage.memory.completeDue(storage.paths, Date.now());
    await tiers.settle();
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [0, 2]);
    await tiers.check();
    tiers.checkSpace();
  });

  it('stays in memory, and is there for the next start, when there is no room elsewhere', async () => {
    await start([[100 * MIB], [SEGMENT_LIMIT]]);
    await tiers.produce(7);
    await tiers.stop();
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [2, 1]);
    await start([[100 * MIB], [SEGMENT_LIMIT]]);
    await tiers.check();
  });

  it('needs a directory in memory, and what the machine has', async () => {
    await assertInMemory('/dev/shm');
    await assert.rejects(assertInMemory('/proc'), /it is on no tmpfs/);
    await start([[1e15], [100 * MIB]]);
    const [path] = tiers.broker!.tiers.paths;
    assert.ok(path!.capacityBytes > 0 && path!.capacityBytes < totalmem());
  });
});
