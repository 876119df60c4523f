/** A cancellable timer. */
export interface Timer {
  cancel(): void;
}

/**
 * The only source of time for the broker's state machines, so that a simulation can drive them.
 * Times are milliseconds; `now` is wall-clock time since the Unix epoch.
 */
export interface Clock {
  now(): number;
  /** Runs `action` once, no sooner than `delayMs` from now; never runs it synchronously. */
  setTimer(delayMs: number, action: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(delayMs, action) {
    // setTimeout overflows above 2^31-1 ms and would fire at once.
    const handle = setTimeout(action, Math.min(delayMs, 0x7fffffff));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Milliseconds of a clock that nobody sets: for time-outs and ages. Only differences mean something. */
export function monotonicMs(): number {
  return performance.now();
}
