import { entityParts, type QuotaManager } from '../../broker/quotas/quota-manager.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type AlterClientQuotasRequest,
  alterClientQuotasRequest,
} from '../../protocol/generated/alter-client-quotas-request.ts';
import {
  type AlterClientQuotasResponse,
  alterClientQuotasResponse,
  createAlterClientQuotasResponse,
} from '../../protocol/generated/alter-client-quotas-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** AlterClientQuotas 0-1 (KIP-546). They take effect before the answer. */
export function alterClientQuotasHandler(deps: {
  readonly quotas: QuotaManager;
}): ApiHandler<AlterClientQuotasRequest, AlterClientQuotasResponse> {
  return {
    apiKey: alterClientQuotasRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: alterClientQuotasRequest,
    response: alterClientQuotasResponse,
    async handle({ entries, validateOnly }) {
      // A type that is named twice counts once, with the last name.
      const alterations = entries.map(({ entity, ops }) => ({
        entity: new Map(entity.map(({ entityType, entityName }) => [entityType, entityName])),
        ops,
      }));
      let outcomes: (ApiError | null)[];
      try {
        outcomes = await deps.quotas.alter(alterations, validateOnly);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        outcomes = alterations.map(() => error);
      }
      return createAlterClientQuotasResponse({
        entries: alterations.map(({ entity }, position) => ({
          errorCode: outcomes[position]?.code ?? ErrorCode.NONE,
          errorMessage: outcomes[position]?.message ?? null,
          entity: entityParts(entity),
        })),
      });
    },
  };
}
