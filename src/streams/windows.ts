import { checkWhole } from './errors.ts';

/** Times in milliseconds since the Unix epoch. `end` is exclusive, but of sessions, whose last record has that time. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

export interface Windowed<K> {
  readonly key: K;
  readonly window: Window;
}

export interface WindowOptions {
  /** How long after its end a window still takes records, by the times of records; 0 when absent. */
  readonly graceMs?: number;
}

export interface TimeWindows {
  readonly type: 'time';
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
}

export interface SessionWindows {
  readonly type: 'session';
  readonly gapMs: number;
  readonly graceMs: number;
}

export interface JoinWindows {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly graceMs: number;
}

function graceOf(options: WindowOptions): number {
  return checkWhole('graceMs', options.graceMs ?? 0, 0);
}

/** Windows of one size, one after the other. */
export function tumbling(sizeMs: number, options: WindowOptions = {}): TimeWindows {
  return hopping(sizeMs, sizeMs, options);
}

/** Windows of one size that begin every `advanceMs`; a record is in all that hold its time. */
export function hopping(sizeMs: number, advanceMs: number, options: WindowOptions = {}): TimeWindows {
  checkWhole('the size of windows', sizeMs, 1);
  checkWhole('advanceMs', advanceMs, 1, sizeMs);
  return { type: 'time', sizeMs, advanceMs, graceMs: graceOf(options) };
}

/** A window per key that goes on while records come within `gapMs` of each other. */
export function session(gapMs: number, options: WindowOptions = {}): SessionWindows {
  return { type: 'session', gapMs: checkWhole('gapMs', gapMs, 1), graceMs: graceOf(options) };
}

/** Joins records of two streams whose times differ by at most `ms`. */
export function within(ms: number, options: WindowOptions = {}): JoinWindows {
  return between(ms, ms, options);
}

/** Joins a record with those of the other stream from `beforeMs` before it to `afterMs` after it. */
export function between(beforeMs: number, afterMs: number, options: WindowOptions = {}): JoinWindows {
  checkWhole('beforeMs', beforeMs, 0);
  checkWhole('afterMs', afterMs, 0);
  return { beforeMs, afterMs, graceMs: graceOf(options) };
}

/** Where the windows begin that hold a time, the earliest first. */
export function startsOf({ sizeMs, advanceMs }: TimeWindows, timestamp: number): number[] {
  const starts: number[] = [];
  const first = Math.floor(Math.max(0, timestamp - sizeMs + advanceMs) / advanceMs) * advanceMs;
  for (let start = first; start <= timestamp; start += advanceMs) starts.push(start);
  return starts;
}
