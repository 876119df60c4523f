import {
  type DescribeAclsRequest,
  describeAclsRequest,
} from '../../protocol/generated/describe-acls-request.ts';
import {
  type DescribeAclsResponse,
  describeAclsResponse,
} from '../../protocol/generated/describe-acls-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { NO_AUTHORIZER } from './no-authorizer.ts';

/** DescribeAcls 1-3: there is no authorizer. */
export function describeAclsHandler(): ApiHandler<DescribeAclsRequest, DescribeAclsResponse> {
  return {
    apiKey: describeAclsRequest.apiKey,
    minVersion: 1,
    maxVersion: 3,
    request: describeAclsRequest,
    response: describeAclsResponse,
    handle: () =>
      describeAclsResponse.create({
        ...NO_AUTHORIZER,
        errorMessage: 'No Authorizer is configured on the broker',
      }),
  };
}
