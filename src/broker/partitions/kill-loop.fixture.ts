import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '../../util/testing/seeded-random.ts';

/** Set for the child that is not killed. */
const LAST_RUN = 'KILL_LOOP_LAST';

/**
 * A child that works on one directory, killed again and again. It is given on standard input all lines that those before it have written, checks
 * what they say, writes `checked`, and goes on, writing what is done. Its arguments: the directory, the name of its arena, a seed.
 */
export class KillLoop {
  /** What children have written. */
  readonly written: string[] = [];
  readonly directory: string;
  readonly #name: string;
  readonly #program: string;
  readonly #env: Readonly<Record<string, string>>;

  /** `child`: its program; `env`: what else it is told. */
  constructor(child: URL, name: string, env: Readonly<Record<string, string>> = {}) {
    this.directory = mkdtempSync(join(tmpdir(), `${name}-kill-`));
    this.#name = `test-${name}-${process.pid}`;
    this.#program = fileURLToPath(child);
    this.#env = env;
  }

  /**
   * Runs a child; kills it so long after the first thing that it has done, or the first whose line begins so, however late that is on a slow machine,
   * or, with null, lets it end. Rejects when it fails.
   */
  run(seed: number, killAfterMs: number | null, begin = ''): Promise<void> {
    return new Promise((resolve, reject) => {
      const env = { ...process.env, ...this.#env, [LAST_RUN]: killAfterMs === null ? '1' : '' };
      const running = spawn(process.execPath, [this.#program, this.directory, this.#name, String(seed)], {
        env,
      });
      let errors = '';
      running.stderr.on('data', (text) => {
        errors += text;
      });
      const before = `${this.written.join('\n')}\n`;
      let isChecked = false;
      let isDoomed = false;
      createInterface(running.stdout).on('line', (line) => {
        if (line !== 'checked') this.written.push(line);
        const isBegun = isChecked && line.startsWith(begin);
        isChecked = true; // what it writes first
        if (!isBegun || isDoomed || killAfterMs === null) return;
        isDoomed = true;
        setTimeout(() => running.kill('SIGKILL'), killAfterMs);
      });
      running.stdin.end(before);
      running.on('close', (code, signal) => {
        const well = killAfterMs === null ? code === 0 : signal === 'SIGKILL';
        if (well && errors === '') resolve();
        else reject(new Error(`round with seed ${seed} ended with ${code ?? signal}: ${errors}`));
      });
    });
  }

  /** Removes what there is; fails when arenas were left. */
  end(): void {
    rmSync(this.directory, { recursive: true });
    const left = readdirSync('/dev/shm').filter((file) => file.startsWith(`kafabric-${this.#name}.`));
    for (const file of left) rmSync(join('/dev/shm', file));
    assert.deepEqual(left, []);
  }
}

/** What a child is told. */
interface LoopChild {
  readonly directory: string;
  /** Of its arena. */
  readonly name: string;
  readonly seed: number;
  readonly random: SeededRandom;
  /** It is to end by itself. */
  readonly isLast: boolean;
}

export function childOfLoop(): LoopChild {
  const [directory, name, text] = process.argv.slice(2) as [string, string, string];
  const seed = Number(text);
  return { directory, name, seed, random: new SeededRandom(seed), isLast: process.env[LAST_RUN] === '1' };
}

/**
 * What children before this one have written as `acknowledged OFFSET NUMBER` and `deleting OFFSET`: the number of the batch at each offset, and
 * where the log may begin.
 */
export function writtenBefore(): { acknowledged: Map<bigint, number>; deleted: bigint } {
  const acknowledged = new Map<bigint, number>();
  let deleted = 0n;
  for (const line of readFileSync(0, 'utf8').split('\n')) {
    const [what, offset, number] = line.split(' ');
    if (what === 'acknowledged') acknowledged.set(BigInt(offset!), Number(number));
    if (what === 'deleting' && BigInt(offset!) > deleted) deleted = BigInt(offset!);
  }
  return { acknowledged, deleted };
}
