import { MAX_TIMER_MS } from '../util/clock.ts';

/** Whether a promise settles before so many milliseconds (null: however many) are over, and before the signal aborts. Never rejects. */
export function settles(
  promise: Promise<void>,
  waitMs: number | null,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (waitMs === null && signal === undefined)
    return promise.then(
      () => true,
      () => true,
    );
  return new Promise((resolve) => {
    const end = (settled: boolean) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(settled);
    };
    const onAbort = () => end(false);
    const timer =
      waitMs === null ? undefined : setTimeout(() => end(false), Math.max(0, Math.min(waitMs, MAX_TIMER_MS)));
    signal?.addEventListener('abort', onAbort, { once: true });
    promise.then(
      () => end(true),
      () => end(true),
    );
  });
}
