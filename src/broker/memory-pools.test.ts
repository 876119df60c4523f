import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { TieredStorage, type TieredStorageOptions } from '../backend/payload/tiers/tiered-storage.ts';
import { type KafabricConfig, loadConfig } from '../config/index.ts';
import { Store } from '../native/store.ts';
import type { StoreFile } from '../native/store-file.ts';
import { systemClock } from '../util/clock.ts';
import { type Logger, silentLogger } from '../util/logger.ts';
import { prepareMemoryTiers } from './memory-pools.ts';

// Any memory is declared persistent, as libpmem has it; it reads this when it is loaded.
process.env.PMEM_IS_PMEM_FORCE = '1';

const SEGMENT_BYTES = 16 << 20;

describe('Tiers in memory', () => {
  let directory: string;
  let logs: string;
  let store: Store;
  let tiers: TieredStorage | null;
  let said: string[];

  beforeEach(() => {
    directory = mkdtempSync('/dev/shm/test-pools-');
    logs = mkdtempSync(join(tmpdir(), 'pools-'));
    store = new Store({ threads: 2 });
    tiers = null;
    said = [];
  });
  afterEach(async () => {
    tiers?.close();
    await store.shutdown();
    for (const each of [directory, logs]) rmSync(each, { recursive: true });
  });

  function config(ratio: number): KafabricConfig {
    return loadConfig({
      environment: {},
      host: { isRoot: false, homeDirectory: '/nowhere' },
      overrides: [
        'log.dirs=/nowhere',
        `payload.segment.bytes=${SEGMENT_BYTES}`,
        `log.pmem.pool.ratio=${ratio}`,
      ],
    });
  }

  async function prepare(type: string, ratio: number): Promise<string> {
    const path = join(directory, 'tier');
    const logger = Object.assign(Object.create(silentLogger) as Logger, {
      info: (_: object, message: string) => said.push(message),
      warn: (_: object, message: string) => said.push(message),
    });
    const options: TieredStorageOptions = {
      tiers: [{ ordinal: 'first', type, paths: [{ path, sizeBytes: 4 * SEGMENT_BYTES }] }],
      logDirectories: [logs],
      owner: { clusterId: 'AAAAAAAAAAAAAAAAAAAABQ', nodeId: 1 },
      files: store,
      clock: systemClock,
      logger,
      settings: () => ({ threshold: -1, bytesPerSecond: -1 }),
      threads: 1,
      isBusy: () => false,
    };
    tiers = await TieredStorage.open(options);
    await prepareMemoryTiers(store, tiers, config(ratio), logger);
    return path;
  }

  const poolFiles = (path: string) => readdirSync(path).filter((name) => name.endsWith('.free'));

  /** Appends a segment's worth and more. */
  async function fill(file: StoreFile): Promise<Buffer> {
    const piece = Buffer.alloc(1 << 20, 'memory');
    for (let i = 0; i < 3; i++) await file.append([piece]).done;
    await file.sync();
    return Buffer.concat([piece, piece, piece]);
  }

  for (const type of ['MEMORY', 'PMEM'])
    it(`of the type ${type} have a part of their size ready for new segments`, async () => {
      const path = await prepare(type, 0.5);
      while (store.keptIn(path) < 2 * SEGMENT_BYTES) await setTimeout(5);
      const files = poolFiles(path);
      assert.equal(files.length, 2);
      assert.equal(statSync(join(path, files[0]!)).size, SEGMENT_BYTES);
      const name = join(path, 'segment');
      const file = await store.open(name, { create: true, recycledBytes: SEGMENT_BYTES });
      assert.deepEqual([file.size, poolFiles(path).length], [0, 1]);
      if (type === 'PMEM') assert.equal(file.direct, false);
      const content = await fill(file);
      const memory = await file.read(0, content.byteLength);
      assert.ok(Buffer.from(memory.bytes()).equals(content));
      memory.release();
      await file.close();
      assert.ok(readFileSync(name).equals(content));
      const says = 'a tier directory is used as persistent memory';
      assert.equal(said.includes(says), type === 'PMEM', said.join());
    });

  it('have nothing ready when that is not wanted', async () => {
    const path = await prepare('MEMORY', 0);
    const file = await store.open(join(path, 'segment'), { create: true, recycledBytes: SEGMENT_BYTES });
    const content = await fill(file);
    await file.close();
    assert.ok(readFileSync(join(path, 'segment')).equals(content));
    assert.deepEqual([store.keptIn(path), poolFiles(path).length], [0, 0]);
  });

  it('are ordinary files where memory is not persistent, and that is said', async () => {
    const { mapped, detail } = await store.usePersistentMemory('/proc');
    assert.deepEqual([mapped, detail], [false, 'no file without a name can be made there']);
  });
});
