import {
  type ListPartitionReassignmentsRequest,
  listPartitionReassignmentsRequest,
} from '../../protocol/generated/list-partition-reassignments-request.ts';
import {
  type ListPartitionReassignmentsResponse,
  listPartitionReassignmentsResponse,
} from '../../protocol/generated/list-partition-reassignments-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** ListPartitionReassignments 0: on one node none is ever under way. `kafka-topics --describe` asks. */
export function listPartitionReassignmentsHandler(): ApiHandler<
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse
> {
  return {
    apiKey: listPartitionReassignmentsRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: listPartitionReassignmentsRequest,
    response: listPartitionReassignmentsResponse,
    handle: () => listPartitionReassignmentsResponse.create({ errorMessage: null }),
  };
}
