import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';

/** How many times longer than usual things may take: KAFABRIC_TEST_PATIENCE, for slow machines. */
export const patience = Number(process.env.KAFABRIC_TEST_PATIENCE ?? 1);

/** What is waited for is there at once, or never: only a machine that has no time for it takes so long. */
const LEAST_WAIT_MS = 120_000;

/** A child process of the harness whose output is kept, its last megabyte, for messages. */
export class Child {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  #output = '';

  /** The output is also appended to `logFile` when there is one. */
  constructor(command: string[], env: Record<string, string> = {}, logFile: string | null = null) {
    this.process = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-1_000_000);
      if (logFile) appendFileSync(logFile, chunk);
    };
    this.process.stdout?.on('data', keep);
    this.process.stderr?.on('data', keep);
    this.ended = new Promise((done) => {
      this.process.on('error', (error) => {
        this.#output += String(error);
        done({ code: 127, signal: null });
      });
      this.process.on('close', (code, signal) => done({ code, signal }));
    });
  }

  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return (
      this.process.exitCode === null && this.process.signalCode === null && this.process.pid !== undefined
    );
  }

  /** How it ended, for people. */
  get end(): string {
    return `ended with ${this.process.signalCode ?? this.process.exitCode}`;
  }

  /** Sends the signal and resolves when the process has ended; after `patienceMs` it is killed. */
  async kill(signal: NodeJS.Signals, patienceMs = 120_000 * patience): Promise<void> {
    if (!this.running) return;
    const last = setTimeout(() => this.process.kill('SIGKILL'), patienceMs);
    this.process.kill(signal);
    await this.ended;
    clearTimeout(last);
  }
}

/** Runs a command to its end; rejects with its output when it fails or takes longer than `timeoutMs`, or what that is on slow machines. */
export async function runCommand(command: string[], timeoutMs = LEAST_WAIT_MS): Promise<string> {
  const child = new Child(command);
  const timer = setTimeout(() => child.process.kill('SIGKILL'), timeoutMs * patience);
  const { code } = await child.ended;
  clearTimeout(timer);
  if (code === 0) return child.output;
  throw new Error(`${command.slice(-12).join(' ')} ended with ${code}:\n${child.output.slice(-4000)}`);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Polls until `probe` is true; rejects with `what` after `timeoutMs`, which is two minutes at least, or what that is on slow machines. */
export async function until(
  what: string,
  timeoutMs: number,
  probe: () => boolean | Promise<boolean>,
): Promise<void> {
  const waitMs = Math.max(timeoutMs, LEAST_WAIT_MS) * patience;
  const deadline = performance.now() + waitMs;
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${waitMs / 1000} s`);
    await sleep(50 * patience);
  }
}
