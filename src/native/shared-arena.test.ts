import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { abandonedMemory, recoverAcknowledged } from './journal.ts';

const child = fileURLToPath(new URL('./shared-arena.child.js', import.meta.url));
const SHARED = '/dev/shm';
const DATA_OFFSET = 16 << 20;
/** Of the time in its first page. */
const CREATED_OFFSET = 16;

describe('a shared arena', () => {
  const name = `test-${process.pid}`;
  const left = (): string[] =>
    readdirSync(SHARED)
      .filter((file) => file.startsWith(`kafabric-${name}.`))
      .map((file) => join(SHARED, file));
  afterEach(() => {
    for (const file of left()) rmSync(file);
  });

  const run = (scenario: string) => {
    const ended = spawnSync(process.execPath, [child, scenario, name], { encoding: 'utf8' });
    return { ...ended, report: JSON.parse(ended.stdout) };
  };

  it('is removed at the end of the process, however it is brought about', () => {
    for (const scenario of ['end', 'exit', 'throw']) {
      const { status, report } = run(scenario);
      assert.equal(status, scenario === 'throw' ? 1 : 0, scenario);
      assert.equal(report.shared, true);
      assert.equal(report.reason, null);
      assert.deepEqual(left(), [], scenario);
    }
  });

  it('is none any more when another program has removed its file', () => {
    const { status, report } = run('removed');
    assert.equal(status, 0);
    assert.equal(report.shared, false);
    assert.match(report.reason, /^\/dev\/shm\/kafabric-test-.* was removed by another program$/);
  });

  it('is there with its content after a kill', () => {
    const { signal, report } = run('kill');
    assert.equal(signal, 'SIGKILL');
    assert.equal(report.shared, true);
    assert.equal(left().length, 1);
    const first = Buffer.alloc(100);
    const fd = openSync(left()[0]!, 'r');
    // The only large range is at the end of what is backed at first.
    readSync(fd, first, 0, first.length, DATA_OFFSET + (15 << 20));
    closeSync(fd);
    assert.equal(first.toString('latin1'), 'A'.repeat(100));
  });

  it('is recovered after a kill, and reported when it cannot be', async () => {
    const nothing = {
      entries: 0,
      bytes: 0,
      files: 0,
      skippedFiles: 0,
      keptFiles: 0,
      kept: [],
      inUse: 0,
      problems: [],
    };
    assert.deepEqual(await recoverAcknowledged(name), nothing);
    run('kill');
    assert.deepEqual(await recoverAcknowledged(name), nothing);
    assert.deepEqual(left(), []);
    const foreign = join(SHARED, `kafabric-${name}.1-f`);
    writeFileSync(foreign, 'something else', { mode: 0o600 });
    const { problems } = await recoverAcknowledged(name);
    assert.deepEqual(problems, [
      `${foreign} is not usable: it does not begin as shared memory of this program does`,
    ]);
  });

  it('is left alone by others after a kill, for the process may be started again', async () => {
    run('kill');
    const found = await abandonedMemory(false);
    assert.deepEqual(
      found.filter(({ path }) => left().includes(path)),
      [],
    );
    assert.equal(left().length, 1);
  });

  it('is found when it was made long ago', async () => {
    run('kill');
    const [path] = left();
    const made = Buffer.alloc(8);
    made.writeBigUInt64LE(BigInt(Date.now() - 3_600_000) * 1_000_000n);
    const fd = openSync(path!, 'r+');
    writeSync(fd, made, 0, made.length, CREATED_OFFSET);
    closeSync(fd);
    const found = (await abandonedMemory(false)).find((one) => one.path === path);
    assert.deepEqual({ ...found, bytes: 0 }, { path, bytes: 0, entries: 0, file: '', removed: false });
    assert.ok(found!.bytes >= 1 << 20);
  });

  it('can be given up', () => {
    assert.deepEqual(run('release').report, [true, false]);
  });

  it('is touched in the background', () => {
    const { report } = run('touch');
    assert.equal(report.touchedBytes, 8 << 20);
    assert.equal(report.backedBytes, 16 << 20);
  });

  it('says why it is not shared', () => {
    const { report } = run('too-large');
    assert.equal(report.shared, false);
    assert.match(report.reason, /^\/dev\/shm has \d+ MiB free, and \d+ MiB are needed$/);
  });
});
