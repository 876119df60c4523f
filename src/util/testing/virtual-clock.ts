import type { Clock, Timer } from '../clock.ts';

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
  cancelled: boolean;
}

/** A clock for tests: time stands still until `runNext` or `advance` moves it. Timers of one instant run in the order of their making. */
export class VirtualClock implements Clock {
  #nowMs: number;
  #made = 0;
  #pending = 0;
  /** A binary heap; cancelled entries stay until they reach its top. */
  readonly #heap: Entry[] = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  /** Timers that are neither run nor cancelled. */
  get pending(): number {
    return this.#pending;
  }

  setTimer(delayMs: number, action: () => void): Timer {
    const atMs = this.#nowMs + Math.max(delayMs, 0);
    const entry: Entry = { atMs, order: this.#made++, action, cancelled: false };
    this.#push(entry);
    this.#pending++;
    return {
      cancel: () => {
        if (entry.cancelled) return;
        entry.cancelled = true;
        this.#pending--;
      },
    };
  }

  /** Runs the next timer if it is due by `limitMs`, and says whether there was one. */
  runNext(limitMs = Number.POSITIVE_INFINITY): boolean {
    while (this.#heap[0]?.cancelled) this.#pop();
    const next = this.#heap[0];
    if (next === undefined || next.atMs > limitMs) return false;
    this.#pop();
    next.cancelled = true;
    this.#pending--;
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.action();
    return true;
  }

  /** Moves time on and runs nothing, as when the process stands still: what becomes due meanwhile runs late. */
  standStill(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  /** Moves time on and runs what becomes due. */
  tick(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    while (this.runNext(endMs));
    this.#nowMs = endMs;
  }

  /** Forgets all timers, as when the process dies. */
  clear(): void {
    this.#heap.length = 0;
    this.#pending = 0;
  }

  /** Moves time on and runs what becomes due, letting promises settle after each timer. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settled();
    while (this.runNext(endMs)) await settled();
    this.#nowMs = endMs;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Resolves when all promises that can settle have settled. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
