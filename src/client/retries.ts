import { monotonicMs } from '../util/clock.ts';
import { DirectError } from './errors.ts';

const RETRY_MS = 50;

/** Tries an action again while its errors are retriable and time is left. @param deadline by `monotonicMs` */
export async function withRetries<T>(deadline: number, action: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof DirectError && error.retriable) || monotonicMs() >= deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
