import type { TopicManager } from '../../broker/metadata/topic-manager.ts';
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
import { duplicatesOf } from './duplicates.ts';

/** CreatePartitions 0-3. Every topic of the request gets an answer. */
export function createPartitionsHandler(deps: {
  readonly topics: TopicManager;
}): ApiHandler<CreatePartitionsRequest, CreatePartitionsResponse> {
  return {
    apiKey: createPartitionsRequest.apiKey,
    minVersion: 0,
    maxVersion: 3,
    request: createPartitionsRequest,
    response: createPartitionsResponse,
    async handle(request) {
      const duplicates = duplicatesOf(request.topics.map(({ name }) => name));
      const distinct = request.topics.filter(({ name }) => !duplicates.has(name));
      let outcomes: { name: string; error: ApiError | null }[];
      try {
        outcomes = await deps.topics.createPartitions(distinct, request.validateOnly);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        outcomes = distinct.map(({ name }) => ({ name, error }));
      }
      const repeated = new ApiError(ErrorCode.INVALID_REQUEST, 'Duplicate topic name.');
      return createPartitionsResponse.create({
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
