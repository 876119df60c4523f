import type { Logger } from './logger.ts';

/** One after the other. What fails is logged, and the rest is done nevertheless; rejects with the first failure. */
export async function takeAll(
  logger: Logger,
  steps: readonly (() => Promise<unknown> | undefined)[],
): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      logger.error({ err: error }, 'a step of shutting down failed');
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
