import type { ScramCredentials } from '../../broker/credentials/scram-credentials.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type AlterUserScramCredentialsRequest,
  alterUserScramCredentialsRequest,
} from '../../protocol/generated/alter-user-scram-credentials-request.ts';
import {
  type AlterUserScramCredentialsResponse,
  alterUserScramCredentialsResponse,
} from '../../protocol/generated/alter-user-scram-credentials-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** AlterUserScramCredentials 0 (KIP-554): stored for listeners that authenticate; answered when that is durable. */
export function alterUserScramCredentialsHandler(deps: {
  readonly scram: ScramCredentials;
}): ApiHandler<AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse> {
  return {
    apiKey: alterUserScramCredentialsRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: alterUserScramCredentialsRequest,
    response: alterUserScramCredentialsResponse,
    async handle({ deletions, upsertions }) {
      let outcomes: Map<string, ApiError | null>;
      try {
        outcomes = await deps.scram.alter(deletions, upsertions);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        outcomes = new Map([...deletions, ...upsertions].map(({ name }) => [name, error]));
      }
      return alterUserScramCredentialsResponse.create({
        results: Array.from(outcomes, ([user, error]) => ({
          user,
          errorCode: error?.code ?? ErrorCode.NONE,
          errorMessage: error?.message ?? null,
        })),
      });
    },
  };
}
