import type { ObjectStore } from '../objects.ts';

type Methods = Omit<ObjectStore, 'renew' | 'stop' | 'close' | 'patienceMs'>;
export type Operation = keyof Methods;

/** Between the gateway's thread and that of the object store. */
export interface ObjectRequest {
  readonly id: number;
  readonly operation: Operation;
  readonly args: unknown[];
}

export interface ObjectAnswer {
  readonly id: number;
  readonly value?: unknown;
  /** Of an ObjectError. */
  readonly error?: { readonly code: string; readonly message: string };
}

/** Ends what is under way. */
export const STOP = 'stop';

/** For the requests that follow. */
export type Patience = Pick<ObjectStore, 'patienceMs'>;
