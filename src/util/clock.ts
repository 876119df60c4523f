/** What the system's timers can wait, in milliseconds; more would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

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
    const handle = setTimeout(action, Math.min(delayMs, MAX_TIMER_MS));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Whether a pause of `longestMs` at most goes on that is to end at `untilMs`. What seems to be a longer one is over: the clock was set back meanwhile.
 */
export function isPausing(untilMs: number, nowMs: number, longestMs: number): boolean {
  return nowMs < untilMs && untilMs - nowMs <= longestMs;
}

/** Milliseconds of a clock that nobody sets: for time-outs and ages. Only differences mean something. */
export function monotonicMs(): number {
  return performance.now();
}
