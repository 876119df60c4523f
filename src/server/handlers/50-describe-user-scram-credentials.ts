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

function result(user: string, errorCode: ErrorCode, errorMessage: string) {
  return { user, errorCode, errorMessage, credentialInfos: [] };
}

/** DescribeUserScramCredentials 0: nobody has any, since these listeners do not authenticate. */
export function describeUserScramCredentialsHandler(): ApiHandler<
  DescribeUserScramCredentialsRequest,
  DescribeUserScramCredentialsResponse
> {
  return {
    apiKey: describeUserScramCredentialsRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: describeUserScramCredentialsRequest,
    response: describeUserScramCredentialsResponse,
    handle({ users }) {
      const names = (users ?? []).map(({ name }) => name);
      const duplicates = duplicatesOf(names);
      return describeUserScramCredentialsResponse.create({
        errorMessage: null,
        results: [...new Set(names)].map((user) =>
          duplicates.has(user)
            ? result(user, ErrorCode.DUPLICATE_RESOURCE, `${TWICE}: ${user}`)
            : result(user, ErrorCode.RESOURCE_NOT_FOUND, `${NOT_THERE}: ${user}`),
        ),
      });
    },
  };
}
