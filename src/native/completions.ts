import { binding } from './addon.ts';

interface CompletionsBinding {
  completionsStart(onReady: () => void): void;
  /** Flat: id and outcome, alternating; an outcome that is an Error is a failure. */
  completionsTake(): unknown[];
  /** Whether pending operations keep the process alive. */
  completionsHold(hold: boolean): void;
}

/** What is told of the end of an operation: one of these, once. Neither may throw. */
export interface Ending<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Operations under way at the same time in one environment; far above what any caller's own limits allow. */
const MAX_PENDING = 1_000_000;

const native = binding<CompletionsBinding>();
const pending = new Map<number, Ending<unknown>>();
let nextId = 1;
let started = false;

function settleAll(): void {
  const outcomes = native.completionsTake();
  for (let i = 0; i < outcomes.length; i += 2) {
    const id = outcomes[i] as number;
    const operation = pending.get(id);
    pending.delete(id);
    const outcome = outcomes[i + 1];
    if (outcome instanceof Error) operation?.reject(outcome);
    else operation?.resolve(outcome);
  }
  if (pending.size === 0) native.completionsHold(false);
}

/** Before native threads are started, so that they end before the way back to JavaScript does. */
export function startCompletions(): void {
  if (started) return;
  started = true;
  native.completionsStart(settleAll);
}

/**
 * A promise for an operation that a native thread finishes under the id that `start` is given. Rejects with Errors that have a
 * `code` such as 'ENOSPC'. What `start` throws is thrown.
 */
export function completion<T>(start: (id: number) => void): Promise<T> {
  return completionUnlessDone<T>((id) => {
    start(id);
    return true;
  })!;
}

/** As `completion`; null when `start` returns false: then nothing will come under the id. */
export function completionUnlessDone<T>(start: (id: number) => boolean): Promise<T> | null {
  const id = newId();
  if (!start(id)) return null;
  return new Promise<T>((resolve, reject) => expect(id, { resolve, reject }));
}

/** As `completion`, where a promise for each of many would cost too much. */
export function completionTo<T>(ending: Ending<T>, start: (id: number) => void): void {
  const id = newId();
  start(id);
  expect(id, ending);
}

function newId(): number {
  if (pending.size >= MAX_PENDING) throw new Error('too many native operations under way');
  startCompletions();
  return nextId++;
}

function expect<T>(id: number, ending: Ending<T>): void {
  if (pending.size === 0) native.completionsHold(true);
  pending.set(id, ending as Ending<unknown>);
}
