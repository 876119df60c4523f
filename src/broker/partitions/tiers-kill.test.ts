import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '../../util/testing/seeded-random.ts';

const child = fileURLToPath(new URL('./tiers-kill.child.js', import.meta.url));
const rounds = Number(process.env.KAFABRIC_TIER_KILLS ?? 8);

describe('Payload in storage tiers, with the process killed again and again', () => killing('disk', rounds));
describe('The same with the first tier in memory', () => killing('memory', Math.ceil(rounds / 4)));

function killing(first: 'disk' | 'memory', rounds: number): void {
  const name = `test-tiers-${first}-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), 'tiers-kill-'));
  const memory = first === 'memory' ? mkdtempSync('/dev/shm/test-tiers-') : null;

  after(() => {
    rmSync(directory, { recursive: true });
    if (memory !== null) rmSync(memory, { recursive: true });
    const left = readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${name}.`));
    for (const file of left) rmSync(join('/dev/shm', file));
    assert.deepEqual(left, []);
  });

  /** Runs a process with what was written so far; kills it so long after it has found everything, if it has not by then, or lets it end. */
  function run(seed: number, written: string[], killAfterMs: number | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const env = {
        ...process.env,
        TIERS_LAST: killAfterMs === null ? '1' : '',
        TIERS_MEMORY: memory ?? '',
      };
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

  it(`has everything that was acknowledged, once, after each of ${rounds} kills`, async function () {
    this.timeout(30_000 + rounds * 15_000);
    const random = new SeededRandom(20);
    const written: string[] = [];
    for (let round = 1; round <= rounds; round++) await run(round, written, random.integer(50, 700));
    await run(rounds + 1, written, null);
    assert.ok(written.filter((line) => line.startsWith('acknowledged')).length > rounds);
  });
}
