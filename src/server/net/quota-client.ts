import type { QuotaClient } from '../../broker/quotas/quota-users.ts';
import type { RequestContext } from './handler.ts';

const USER_TYPE = 'User:';

/** Whose quotas a request counts against. */
export function quotaClientOf({ connection: { principal }, clientId }: RequestContext): QuotaClient {
  const user = principal.startsWith(USER_TYPE) ? principal.slice(USER_TYPE.length) : principal;
  return { user, clientId: clientId ?? '' };
}
