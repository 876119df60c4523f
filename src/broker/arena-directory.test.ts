import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type KafabricConfig, loadConfig } from '../config/index.ts';
import { Store } from '../native/store.ts';
import { silentLogger } from '../util/logger.ts';
import { writeAcknowledged } from './acknowledged-memory.ts';
import { assertArenaDirectory } from './arena-directory.ts';

const child = fileURLToPath(new URL('../native/store-memory.child.js', import.meta.url));

describe('the directory of shared memory', () => {
  const name = `test-arena-directory-${process.pid}`;
  let memory: string;
  let data: string;
  let store: Store;

  beforeEach(() => {
    memory = mkdtempSync('/dev/shm/test-arena-directory-');
    data = mkdtempSync(join(tmpdir(), 'arena-directory-'));
    store = new Store({ threads: 1 });
  });
  afterEach(async () => {
    await store.shutdown();
    for (const directory of [memory, data]) rmSync(directory, { recursive: true });
  });

  function configOf(directory?: string): KafabricConfig {
    return loadConfig({
      environment: {},
      host: { isRoot: false, homeDirectory: '/nowhere' },
      overrides: [`log.dirs=${data}`, ...(directory === undefined ? [] : [`arena.directory=${directory}`])],
    });
  }

  const start = (directory?: string, dataDirectories = [data]) => {
    const replaceFile = (path: string, bytes: Uint8Array) => store.atomicWrite(path, bytes);
    const config = configOf(directory);
    return writeAcknowledged({ config, name, dataDirectories, replaceFile }, silentLogger);
  };
  /** What a process that has its memory there acknowledges, and is killed. */
  const kill = (directory: string) => {
    const ended = spawnSync(process.execPath, [child, 'kill', name, data, directory], { encoding: 'utf8' });
    assert.equal(ended.signal, 'SIGKILL', ended.stderr);
    assert.equal(JSON.parse(ended.stdout).acknowledged, 20);
    assert.equal(readdirSync(directory).length, 1);
  };
  const assertWritten = () => {
    const log = readFileSync(join(data, 'log'));
    for (let i = 0; i < 20; i++)
      assert.ok(log.subarray(1000 + i * 500, 1500 + i * 500).equals(Buffer.alloc(500, 66 + i)));
    assert.deepEqual(readdirSync(memory), []);
  };

  it('can be another at the next start: what was acknowledged before is found', async () => {
    await start(memory);
    kill(memory);
    await start();
    assertWritten();
    await start();
  });

  it('is found where one of several data directories says so', async () => {
    const gone = join(data, 'gone');
    const other = join(data, 'other');
    mkdirSync(other);
    await start(memory, [gone, other]);
    assert.ok(existsSync(join(other, 'arena-directory')));
    kill(memory);
    await start('/dev/shm', [gone, other]);
    assertWritten();
  });

  it('is left for another that is not the default either, and then the default is looked at, too', async () => {
    const second = join(memory, 'second');
    mkdirSync(second);
    await start(memory);
    await start(second);
    kill(second);
    await start();
    assert.deepEqual(readdirSync(second), []);
  });

  it('is noted only where it is not the default, and nothing starts without that', async () => {
    await start();
    assert.deepEqual(readdirSync(data), []);
    await assert.rejects(start(memory, [join(data, 'gone')]), { code: 'ENOENT' });
  });

  it('has to be a tmpfs or hugetlbfs that can be used', async () => {
    await assertArenaDirectory(configOf());
    await assertArenaDirectory(configOf(memory));
    await assert.rejects(
      assertArenaDirectory(configOf('/proc')),
      /arena\.directory=\/proc is neither on a tmpfs/,
    );
    await assert.rejects(assertArenaDirectory(configOf(join(memory, 'none'))), /cannot be used: ENOENT/);
    writeFileSync(join(memory, 'file'), '');
    await assert.rejects(assertArenaDirectory(configOf(join(memory, 'file'))), /is no directory/);
    assert.throws(() => configOf('memory'), /arena\.directory.*absolute path/s);
    assert.throws(() => configOf('/dev/shm/'), /arena\.directory.*absolute path/s);
  });
});
