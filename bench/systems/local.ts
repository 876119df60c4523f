import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/util/free-port.ts';
import type { SystemInfo } from '../model.ts';
import { owned } from '../owned.ts';
import { type DeploymentName, deployments } from './deployments.ts';
import type { StartTimes, System } from './system.ts';
import { accepts, answers } from './wire.ts';

const pollMs = 5;
const startTimeoutMs = 300_000;

/** Systems whose process may run and whose data is there. */
const present = new Set<LocalSystem>();

/** In which a system ends that a terminal's interrupt has reached, too: at a second signal the gateway leaves its shared memory behind. */
const interruptMs = 5000;

/** Stops all systems, so that they give back the memory that would outlive them, and removes their data. */
export async function abandonSystems(signal: NodeJS.Signals): Promise<void> {
  const until = performance.now() + (signal === 'SIGINT' ? interruptMs : 0);
  for (const system of present) {
    while (system.pid !== null && system.ended() === null && performance.now() < until) await sleep(pollMs);
    await system.stop('SIGTERM');
    system.clear();
  }
}

/** A broker that the benchmark starts itself, alone, with its data in one folder. */
export abstract class LocalSystem implements System {
  abstract readonly info: SystemInfo;
  readonly controllable = true;
  topicConfig: Record<string, string> = {};
  readonly plainTopicConfig: Record<string, string> = {};
  readonly producesOnly: boolean = false;
  protected dir = '';
  protected port = 0;
  readonly #folder: string;
  #child: ChildProcess | null = null;

  /** `folder`: where the data directories are made. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Prepares the empty data directory and says how to start on it. */
  protected abstract prepare(deployment: DeploymentName): Promise<string[]>;
  #command: string[] = [];

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`;
  }

  get direct(): string | null {
    return null;
  }

  get dataFolder(): string | null {
    return this.dir;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  async start(deployment: DeploymentName): Promise<StartTimes> {
    present.add(this);
    this.dir = mkdtempSync(join(this.#folder, `${this.info.name}-`));
    this.port = await freePort();
    this.topicConfig = deployments[deployment].topics;
    this.#command = await this.prepare(deployment);
    // What the system before has left in the page cache is not to be written on this one's time.
    execFileSync('sync');
    return this.resume();
  }

  async resume(): Promise<StartTimes> {
    const log = openSync(join(this.dir, 'log'), 'a');
    const from = performance.now();
    // As many files as the user may have: thousands of partitions and connections are measured.
    const shell = ['-c', 'ulimit -n "$(ulimit -H -n)"; exec "$@"', 'sh', ...this.#command];
    const child = owned(spawn('sh', shell, { stdio: ['ignore', log, log] }));
    closeSync(log);
    this.#child = child;
    await this.#until(() => accepts(this.bootstrap));
    const acceptSeconds = (performance.now() - from) / 1000;
    await this.#until(() => answers(this.bootstrap));
    return { acceptSeconds, answerSeconds: (performance.now() - from) / 1000 };
  }

  async #until(probe: () => Promise<boolean>): Promise<void> {
    for (const deadline = performance.now() + startTimeoutMs; !(await probe()); await sleep(pollMs)) {
      const ended = this.ended();
      if (ended !== null) throw new Error(ended);
      if (performance.now() > deadline) throw new Error(this.#logged('does not answer'));
    }
  }

  #logged(what: string): string {
    const log = readFileSync(join(this.dir, 'log'), 'utf8').slice(-2000);
    return `${this.info.name} ${what}; its log:\n${log}`;
  }

  ended(): string | null {
    const { exitCode = null, signalCode = null } = this.#child ?? {};
    return exitCode === null && signalCode === null
      ? null
      : this.#logged(`ended with ${exitCode ?? signalCode}`);
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  clear(): void {
    if (this.dir !== '') rmSync(this.dir, { recursive: true, force: true });
    present.delete(this);
  }
}
