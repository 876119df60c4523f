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
const quietCpuSeconds = 0.02;
const quietWrittenBytes = 1e6;
const usualPatienceMs = 1000;
/** What has been acknowledged from memory goes to a disk at the disk's pace, and takes little of the processor. */
const writingPatienceMs = 10_000;

/** Waits until a figure that only grows has grown by no more than `most` in a while, or until the patience is at an end. */
export async function still(
  read: () => number | null,
  most: number,
  patienceMs: number,
  whileMs = settlingMs,
): Promise<void> {
  for (let waited = 0, before = read(); waited < patienceMs; waited += whileMs) {
    await sleep(whileMs);
    const now = read();
    if (now === null || before === null || now - before <= most) return;
    before = now;
  }
}

/** Waits until a process hardly writes, ten seconds at most, and then until it hardly uses the processor, or the patience for that is at an end. */
export async function quiet(pid: number, patienceMs = usualPatienceMs): Promise<void> {
  await still(() => writtenBytes(pid), quietWrittenBytes, writingPatienceMs);
  await still(() => cpuSeconds(pid), quietCpuSeconds, patienceMs);
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
    await quiet(this.#pid);
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
