import { entityParts, entryValues, type QuotaManager } from '../../broker/quotas/quota-manager.ts';
import { ApiError } from '../../protocol/errors.ts';
import {
  type DescribeClientQuotasRequest,
  describeClientQuotasRequest,
} from '../../protocol/generated/describe-client-quotas-request.ts';
import {
  createDescribeClientQuotasResponse,
  type DescribeClientQuotasResponse,
  describeClientQuotasResponse,
} from '../../protocol/generated/describe-client-quotas-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DescribeClientQuotas 0-1: the quotas that are set, selected by user, client id and address (KIP-546). */
export function describeClientQuotasHandler(deps: {
  readonly quotas: QuotaManager;
}): ApiHandler<DescribeClientQuotasRequest, DescribeClientQuotasResponse> {
  return {
    apiKey: describeClientQuotasRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: describeClientQuotasRequest,
    response: describeClientQuotasResponse,
    handle({ components, strict }) {
      try {
        const entries = deps.quotas.describe(components, strict).map(({ entity, values }) => ({
          entity: entityParts(entity),
          values: entryValues(values),
        }));
        return createDescribeClientQuotasResponse({ errorMessage: null, entries });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const { code: errorCode, message: errorMessage } = error;
        return createDescribeClientQuotasResponse({ errorCode, errorMessage, entries: null });
      }
    },
  };
}
