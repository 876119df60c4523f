// Tells another thread at a fixed rate, more precisely than timers of an event loop, which are of whole milliseconds. A loop that watches the clock
// instead would keep one of few processors from the broker that is measured.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Beats {
  /** When the first is due, in milliseconds of `now`. */
  readonly from: number;
  readonly rate: number;
  readonly total: number;
}

/**
 * A beat is told this long before it is due: what is left is spent watching the clock, so that nothing is late for having slept. Who has slept for long
 * takes longer to wake: a part of the time between two beats, within these limits.
 */
const AHEAD = { part: 0.05, leastMs: 0.15, mostMs: 1 };

/** Milliseconds of the clock that all threads have. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Beats of a thread of its own. */
export class Metronome {
  readonly #beats: Beats;
  readonly #worker: Worker;
  #told = 0;
  #heard = 0;
  #wake: () => void = () => undefined;

  /**
   * @param from when the first beat is due; a thread takes some time to begin
   * @param rate beats a second
   */
  constructor(from: number, rate: number, total: number) {
    this.#beats = { from, rate, total };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: this.#beats });
    this.#worker.on('message', () => {
      this.#told++;
      this.#wake();
    });
  }

  /** Resolves when the next beat is due, to that time; at once when it has been. */
  async next(): Promise<number> {
    if (this.#told <= this.#heard)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const due = dueAt(this.#beats, this.#heard++);
    while (now() < due) await new Promise((resolve) => setImmediate(resolve));
    return due;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

function dueAt({ from, rate }: Beats, beat: number): number {
  return from + (beat * 1000) / rate;
}

function run(beats: Beats): void {
  const aheadMs = Math.min(AHEAD.mostMs, Math.max(AHEAD.leastMs, (AHEAD.part * 1000) / beats.rate));
  const sleeping = new Int32Array(new SharedArrayBuffer(4));
  for (let beat = 0; beat < beats.total; beat++) {
    const tellAt = dueAt(beats, beat) - aheadMs;
    for (let ms = tellAt - now(); ms > 0; ms = tellAt - now()) Atomics.wait(sleeping, 0, 0, ms);
    parentPort!.postMessage(beat);
  }
}

if (!isMainThread) run(workerData as Beats);
