import { type DeleteAclsRequest, deleteAclsRequest } from '../../protocol/generated/delete-acls-request.ts';
import {
  type DeleteAclsResponse,
  deleteAclsResponse,
} from '../../protocol/generated/delete-acls-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { NO_AUTHORIZER } from './no-authorizer.ts';

/** DeleteAcls 1-3: there is no authorizer. */
export function deleteAclsHandler(): ApiHandler<DeleteAclsRequest, DeleteAclsResponse> {
  return {
    apiKey: deleteAclsRequest.apiKey,
    minVersion: 1,
    maxVersion: 3,
    request: deleteAclsRequest,
    response: deleteAclsResponse,
    handle: ({ filters }) =>
      deleteAclsResponse.create({
        filterResults: filters.map(() => ({ ...NO_AUTHORIZER, matchingAcls: [] })),
      }),
  };
}
