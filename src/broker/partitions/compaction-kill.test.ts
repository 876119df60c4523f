import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Store } from '../../native/store.ts';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { checkPayload } from '../verify/payload-check.ts';

const child = fileURLToPath(new URL('./compaction-kill.child.js', import.meta.url));
const rounds = Number(process.env.KAFABRIC_COMPACTION_KILLS ?? 8);

describe('Compaction, with the process killed again and again', function () {
  this.timeout(30_000 + rounds * 60_000);
  const name = `test-compaction-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), 'compaction-kill-'));

  after(() => {
    rmSync(directory, { recursive: true });
    const left = readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.`));
    for (const file of left) rmSync(join('/dev/shm', file));
    assert.deepEqual(left, []);
  });

  /** Runs a process with what was written so far; kills it so long after it has found everything, or lets it end. */
  function run(seed: number, written: string[], killAfterMs: number | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const env = { ...process.env, COMPACTION_LAST: killAfterMs === null ? '1' : '' };
      const running = spawn(process.execPath, [child, directory, name, String(seed)], { env });
      let errors = '';
      running.stderr.on('data', (text) => {
        errors += text;
      });
      createInterface(running.stdout).on('line', (line) => {
        if (line !== 'checked') written.push(line);
        else if (killAfterMs !== null) setTimeout(() => running.kill('SIGKILL'), killAfterMs);
      });
      running.stdin.end(`${written.join('\n')}\n`);
      running.on('close', (code, signal) => {
        const well = killAfterMs === null ? code === 0 : signal === 'SIGKILL';
        if (well && errors === '') resolve();
        else reject(new Error(`round with seed ${seed} ended with ${code ?? signal}: ${errors}`));
      });
    });
  }

  it(`has the last value of each key, and no payload of nobody, after ${rounds} kills`, async () => {
    const random = new SeededRandom(21);
    const written: string[] = [];
    for (let round = 1; round <= rounds; round++) await run(round, written, random.integer(50, 900));
    await run(rounds + 1, written, null);
    assert.ok(written.length > rounds);
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
      const { problems, extents } = await checkPayload(options);
      assert.deepEqual(problems, []);
      assert.ok(extents > 0);
    } finally {
      await store.shutdown();
    }
  });
});
