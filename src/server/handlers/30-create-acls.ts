import { type CreateAclsRequest, createAclsRequest } from '../../protocol/generated/create-acls-request.ts';
import {
  type CreateAclsResponse,
  createAclsResponse,
} from '../../protocol/generated/create-acls-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { NO_AUTHORIZER } from './no-authorizer.ts';

/** CreateAcls 1-3: there is no authorizer. */
export function createAclsHandler(): ApiHandler<CreateAclsRequest, CreateAclsResponse> {
  return {
    apiKey: createAclsRequest.apiKey,
    minVersion: 1,
    maxVersion: 3,
    request: createAclsRequest,
    response: createAclsResponse,
    handle: ({ creations }) =>
      createAclsResponse.create({ results: creations.map(() => ({ ...NO_AUTHORIZER })) }),
  };
}
