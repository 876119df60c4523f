import type { ScramCredentials } from '../../broker/credentials/scram-credentials.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeUserScramCredentialsRequest,
  describeUserScramCredentialsRequest,
} from '../../protocol/generated/describe-user-scram-credentials-request.ts';
import {
  type DescribeUserScramCredentialsResponse,
  describeUserScramCredentialsResponse,
} from '../../protocol/generated/describe-user-scram-credentials-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { duplicatesOf } from './duplicates.ts';

const TWICE = 'Cannot describe SCRAM credentials for the same user twice in a single request';
const NOT_THERE = 'Attempt to describe a user credential that does not exist';

function result(user: string, errorCode: ErrorCode, errorMessage: string | null) {
  return { user, errorCode, errorMessage, credentialInfos: [] };
}

/** DescribeUserScramCredentials 0 (KIP-554): which mechanisms users have credentials for; of all users when none is named. */
export function describeUserScramCredentialsHandler(deps: {
  readonly scram: ScramCredentials;
}): ApiHandler<DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse> {
  return {
    apiKey: describeUserScramCredentialsRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: describeUserScramCredentialsRequest,
    response: describeUserScramCredentialsResponse,
    handle({ users }) {
      const { state } = deps.scram;
      const names = users?.length ? users.map(({ name }) => name) : [...state.users()];
      const duplicates = duplicatesOf(names);
      const describe = (user: string) => {
        const credentialInfos = Array.from(
          state.credentialsOf(user).values(),
          ({ mechanism, iterations }) => ({
            mechanism,
            iterations,
          }),
        );
        return credentialInfos.length === 0
          ? result(user, ErrorCode.RESOURCE_NOT_FOUND, `${NOT_THERE}: ${user}`)
          : { ...result(user, ErrorCode.NONE, null), credentialInfos };
      };
      return describeUserScramCredentialsResponse.create({
        errorMessage: null,
        results: [...new Set(names)].map((user) =>
          duplicates.has(user)
            ? result(user, ErrorCode.DUPLICATE_RESOURCE, `${TWICE}: ${user}`)
            : describe(user),
        ),
      });
    },
  };
}
