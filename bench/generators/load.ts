import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { owned } from '../owned.ts';

/** What a generator reports at its end; which figures are there depends on the load. */
export type Report = Record<string, number>;

export interface LoadOptions {
  /** Reports that come before the last one, for long loads. */
  onReport?: (report: Report) => void;
}

/**
 * A generator process: it connects, prints `ready`, waits for a line, loads the broker and prints its figures as JSON. So the harness
 * can start several together, and measures the broker only while they load it.
 */
export class Load {
  readonly ready: Promise<void>;
  /** Resolves when the last report is there, which may be before the process has ended. */
  readonly report: Promise<Report>;
  readonly #child: ChildProcess;

  constructor(command: string[], options: LoadOptions = {}) {
    this.#child = owned(spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] }));
    this.#child.stdin!.on('error', () => {}); // its early end is reported below
    let errors = '';
    this.#child.stderr!.on('data', (chunk) => {
      errors = (errors + chunk).slice(-2000);
    });
    let last: Report | null = null;
    const ended = new Promise<number | null>((done) => this.#child.once('close', done));
    this.#child.once('error', (error) => {
      errors += error.message;
    });
    const lines = createInterface({ input: this.#child.stdout! });
    this.ready = new Promise((done, fail) => {
      lines.on('line', (line) => {
        if (line === 'ready') return done();
        if (!line.startsWith('{')) return;
        if (last) options.onReport?.(last);
        last = JSON.parse(line) as Report;
      });
      ended.then((code) => fail(new Error(`the generator ended with ${code}: ${errors.trim()}`)), fail);
    });
    this.report = ended.then((code) => {
      if (code === 0 && last) return last;
      throw new Error(`the generator ended with ${code}: ${errors.trim()}`);
    });
    // A failure may come before anybody waits for it.
    this.ready.catch(() => {});
    this.report.catch(() => {});
  }

  go(): void {
    this.#child.stdin!.write('go\n');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
