import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Store } from '../../native/store.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { defaultLogConfig } from './config.ts';
import { LogManager } from './log-manager.ts';
import type { PartitionLog } from './partition-log.ts';
import { storeFileSystem } from './store-file-system.ts';
import { testBatch, testMarker } from './testing/batches.ts';
import { readAll } from './testing/log-fixture.ts';

/** Not so long ago that producers would be forgotten. */
const START_MS = Date.now() - 60_000;
const config = { ...defaultLogConfig, segmentBytes: 20_000, fileDeleteDelayMs: 0 };

describe('log on the native store', () => {
  let store: Store;
  let directory: string;

  beforeEach(async () => {
    store = new Store();
    directory = await mkdtemp(join(tmpdir(), 'kafabric-log-'));
  });

  afterEach(async () => {
    await store.shutdown();
    await rm(directory, { recursive: true });
  });

  function managerOn(path: string): LogManager {
    const common = { clock: systemClock, logger: silentLogger, nodeId: 1, defaultConfig: config };
    return new LogManager({ ...common, fileSystem: storeFileSystem(store), directories: [path] });
  }

  async function fill(log: PartitionLog, count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const records = [{ value: 'v'.repeat(index % 200), timestamp: START_MS + index }];
      log.append(testBatch(records, { producerId: 9n, producerEpoch: 0, baseSequence: index }));
    }
    await log.flush();
  }

  it('keeps a log over a clean stop', async () => {
    const manager = managerOn(directory);
    await manager.open();
    const log = await manager.create('t', 0);
    await fill(log, 500);
    assert.ok(log.segmentCount > 3);
    await manager.close();
    const again = managerOn(directory);
    await again.open();
    const reopened = again.get('t', 0);
    assert.ok(reopened);
    assert.deepEqual([reopened.recoveredFrom, reopened.logEndOffset], [null, 500n]);
    assert.equal((await readAll(reopened)).length, 500);
    assert.equal((await reopened.offsetForTimestamp(BigInt(START_MS + 333)))?.offset, 333n);
    await again.close();
  });

  it('recovers a torn end after a crash, transaction markers included', async () => {
    const manager = managerOn(directory);
    await manager.open();
    const log = await manager.create('t', 0);
    const identity = { producerId: 3n, producerEpoch: 0 };
    log.append(
      testBatch([{ value: 'a', timestamp: START_MS }], { ...identity, baseSequence: 0, attributes: 0x10 }),
    );
    log.append(testMarker(true, 7, { ...identity, timestamp: START_MS }), 'coordinator');
    await fill(log, 50);
    const [file] = (await readdir(join(directory, 't-0'))).filter((name) => name.endsWith('.log'));
    const path = join(directory, 't-0', file!);
    await truncate(path, log.sizeBytes - 3);
    // The process that had the directory is gone, and with it its lock.
    const crashed = new Store();
    await store.shutdown();
    store = crashed;
    for (const each of manager.directories) each.fail(new Error('crashed'));
    await manager.close();
    const again = managerOn(directory);
    await again.open();
    const recovered = again.get('t', 0);
    assert.ok(recovered);
    assert.deepEqual([recovered.recoveredFrom, recovered.logEndOffset], [0n, 51n]);
    const producers = new Map(recovered.activeProducers().map((entry) => [entry.producerId, entry]));
    assert.equal(producers.get(3n)?.coordinatorEpoch, 7);
    assert.equal(producers.get(9n)?.batches.at(-1)?.lastSequence, 48);
    assert.equal(recovered.firstUnstableOffset, null);
    await again.close();
  });

  it('takes nothing that cannot be looked at for gone', async () => {
    const { list } = storeFileSystem(store);
    await writeFile(join(directory, 'there'), '');
    await symlink('nowhere', join(directory, 'gone'));
    assert.deepEqual(
      (await list(directory))?.map(({ name }) => name),
      ['there'],
    );
    await symlink('loop', join(directory, 'loop'));
    await assert.rejects(list(directory), { code: 'ELOOP' });
  });

  it('lets no other process have its directory', async () => {
    const manager = managerOn(directory);
    await manager.open();
    await assert.rejects(managerOn(directory).open(), /no log directory can be used.*lock|in use|EBUSY/i);
    await manager.close();
  });
});
