import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, type Memory, memoryOf, readBytes, writtenBytes } from './proc.ts';

export interface Usage {
  cpuSeconds: number | null;
  writtenBytes: number | null;
  readBytes: number | null;
  /** The sample with the largest resident set. */
  peak: Memory | null;
}

const samplingMs = 100;
const settlingMs = 100;
const quietCpuShare = 0.2;
const patienceMs = 1000;

/** Waits until a process hardly uses the processor, or until the patience is at an end. */
export async function quiet(pid: number, patienceMs: number): Promise<void> {
  for (let waited = 0, before = cpuSeconds(pid); waited < patienceMs; waited += settlingMs) {
    await sleep(settlingMs);
    const now = cpuSeconds(pid);
    if (now === null || before === null) return;
    if (now - before <= (quietCpuShare * settlingMs) / 1000) return;
    before = now;
  }
}

/** What a process uses between two moments. A process that cannot be looked into gives nulls. */
export class Meter {
  readonly #pid: number | null;
  #cpu: number | null = null;
  #written: number | null = null;
  #read: number | null = null;
  #peak: Memory | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(pid: number | null) {
    this.#pid = pid;
  }

  start(): void {
    if (this.#pid === null) return;
    this.#cpu = cpuSeconds(this.#pid);
    this.#written = writtenBytes(this.#pid);
    this.#read = readBytes(this.#pid);
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), samplingMs);
  }

  /** Waits until the process is quiet, so that what it does behind the last acknowledgement counts too. */
  async stop(): Promise<Usage> {
    if (this.#pid === null) return { cpuSeconds: null, writtenBytes: null, readBytes: null, peak: null };
    await quiet(this.#pid, patienceMs);
    this.cancel();
    this.#sample();
    const since = (now: number | null, before: number | null): number | null =>
      now === null || before === null ? null : now - before;
    return {
      cpuSeconds: since(cpuSeconds(this.#pid), this.#cpu),
      writtenBytes: since(writtenBytes(this.#pid), this.#written),
      readBytes: since(readBytes(this.#pid), this.#read),
      peak: this.#peak,
    };
  }

  /** Ends the sampling, also after a load that failed. */
  cancel(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  #sample(): void {
    const memory = this.#pid === null ? null : memoryOf(this.#pid);
    if (memory && (!this.#peak || memory.rssMb > this.#peak.rssMb)) this.#peak = memory;
  }
}
