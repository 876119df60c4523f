import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { storeFileSystem } from '../backend/log/store-file-system.ts';
import { loadConfig } from '../config/index.ts';
import { Store } from '../native/store.ts';
import { systemClock } from '../util/clock.ts';
import { silentLogger } from '../util/logger.ts';
import { sharedMemoryName } from './acknowledged-memory.ts';
import { makeLogs } from './storage/logs.ts';

const child = fileURLToPath(new URL('../native/store-memory.child.js', import.meta.url));

describe('what a killed gateway had acknowledged', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'acknowledged-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const pathsOf = (names: readonly string[]) => names.map((name) => join(root, name));

  /** Opens and closes the logs, as a start and a stop do. */
  async function start(...names: string[]): Promise<void> {
    const store = new Store({ threads: 1 });
    const config = loadConfig({
      environment: {},
      host: { isRoot: false, homeDirectory: '/nowhere' },
      overrides: [`log.dirs=${pathsOf(names).join(',')}`],
    });
    const logs = makeLogs(storeFileSystem(store), {
      config,
      clock: systemClock,
      logger: silentLogger,
      endpoints: [],
    });
    await logs.open();
    await logs.close();
    await store.shutdown();
  }

  for (const [before, after] of [
    [['a'], ['a', 'b']],
    [['a', 'b'], ['a']],
    [
      ['b', 'a'],
      ['b', 'c'],
    ],
  ] as const)
    it(`is written by a start with ${after.join(' and ')} in place of ${before.join(' and ')}`, async () => {
      await start(...before);
      const name = sharedMemoryName(pathsOf(before));
      // It has acknowledged what belongs into a file of the first directory in the alphabet.
      const directory = join(root, 'a');
      mkdirSync(directory, { recursive: true });
      const ended = spawnSync(process.execPath, [child, 'kill', name, directory], { encoding: 'utf8' });
      assert.equal(ended.signal, 'SIGKILL', ended.stderr);
      await start(...after);
      const left = readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.`));
      for (const file of left) rmSync(join('/dev/shm', file));
      assert.deepEqual(left, []);
      const log = readFileSync(join(directory, 'log'));
      for (let i = 0; i < 20; i++)
        assert.ok(log.subarray(1000 + i * 500, 1500 + i * 500).equals(Buffer.alloc(500, 66 + i)));
    });
});
