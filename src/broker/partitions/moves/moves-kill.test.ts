import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';

const child = fileURLToPath(new URL('./moves-kill.child.js', import.meta.url));
const rounds = Number(process.env.KAFABRIC_MOVE_KILLS ?? 8);

describe('Moves between log directories, with the process killed again and again', () => {
  const name = `test-moves-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), 'moves-kill-'));

  after(() => {
    rmSync(directory, { recursive: true });
    const left = readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.`));
    for (const file of left) rmSync(join('/dev/shm', file));
    assert.deepEqual(left, []);
  });

  /** Runs a process with what was written so far; kills it so long after it has found everything, if it has not by then, or lets it end. */
  function run(seed: number, written: string[], killAfterMs: number | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const env = { ...process.env, MOVES_LAST: killAfterMs === null ? '1' : '' };
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

  it(`has everything that was acknowledged, in one place, after each of ${rounds} kills`, async function () {
    this.timeout(60_000 + rounds * 20_000);
    const random = new SeededRandom(30);
    const written: string[] = [];
    for (let round = 1; round <= rounds; round++) await run(round, written, random.integer(100, 1_500));
    await run(rounds + 1, written, null);
    assert.ok(written.filter((line) => line.startsWith('acknowledged')).length > rounds);
    assert.ok(written.includes('moved 0 0'), 'nothing was ever moved');
  });
});
