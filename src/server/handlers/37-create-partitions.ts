import type { TopicManager } from '../../broker/metadata/topic-manager.ts';
import type { MutationQuota } from '../../broker/quotas/mutation-quota.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type CreatePartitionsRequest,
  createPartitionsRequest,
} from '../../protocol/generated/create-partitions-request.ts';
import {
  type CreatePartitionsResponse,
  createPartitionsResponse,
} from '../../protocol/generated/create-partitions-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { quotaClientOf } from '../net/quota-client.ts';
import { duplicatesOf } from './duplicates.ts';

/** Clients of older versions do not know that they may be refused by a quota (KIP-599). */
const FIRST_STRICT_VERSION = 3;

/** CreatePartitions 0-3. Every topic of the request gets an answer. */
export function createPartitionsHandler(deps: {
  readonly topics: TopicManager;
  readonly quota: MutationQuota;
}): ApiHandler<CreatePartitionsRequest, CreatePartitionsResponse> {
  return {
    apiKey: createPartitionsRequest.apiKey,
    minVersion: 0,
    maxVersion: 3,
    request: createPartitionsRequest,
    response: createPartitionsResponse,
    async handle(request, context) {
      const permits = deps.quota.begin(quotaClientOf(context), context.apiVersion >= FIRST_STRICT_VERSION);
      const duplicates = duplicatesOf(request.topics.map(({ name }) => name));
      const distinct = request.topics.filter(({ name }) => !duplicates.has(name));
      let outcomes: { name: string; error: ApiError | null }[];
      try {
        outcomes = await deps.topics.createPartitions(distinct, request.validateOnly, permits);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        outcomes = distinct.map(({ name }) => ({ name, error }));
      }
      const repeated = new ApiError(ErrorCode.INVALID_REQUEST, 'Duplicate topic name.');
      context.connection.throttle(permits.throttleMs);
      return createPartitionsResponse.create({
        throttleTimeMs: permits.throttleMs,
        results: [...[...duplicates].map((name) => ({ name, error: repeated })), ...outcomes].map(
          ({ name, error }) => ({
            name,
            errorCode: error?.code ?? ErrorCode.NONE,
            errorMessage: error?.message ?? null,
          }),
        ),
      });
    },
  };
}
