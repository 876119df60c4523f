import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { RequestContext } from './handler.ts';
import { quotaClientOf } from './quota-client.ts';

/**
 * Counts what a request used, when it is answered; the client waits before its next request if that is too much.
 * @returns for how long, milliseconds: what the answer says
 */
export function countUse(quota: RateQuota, context: RequestContext, value: number): number {
  const throttleMs = quota.record(quotaClientOf(context), value);
  context.connection.throttle(throttleMs);
  return throttleMs;
}
