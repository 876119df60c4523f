import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import { ALL_GROUP_OPERATIONS } from '../../broker/groups/group-listing.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import {
  type ConsumerGroupDescribeRequest,
  consumerGroupDescribeRequest,
} from '../../protocol/generated/consumer-group-describe-request.ts';
import {
  type ConsumerGroupDescribeResponse,
  consumerGroupDescribeResponse,
  createConsumerGroupDescribeResponse,
} from '../../protocol/generated/consumer-group-describe-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { distinct } from './duplicates.ts';

/** ConsumerGroupDescribe 0-1 (KIP-848): groups of the consumer protocol. */
export function consumerGroupDescribeHandler(deps: {
  groups: GroupCoordinator;
}): ApiHandler<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse> {
  return {
    apiKey: ApiKey.ConsumerGroupDescribe,
    minVersion: 0,
    maxVersion: 1,
    request: consumerGroupDescribeRequest,
    response: consumerGroupDescribeResponse,
    handle(request) {
      const groups = distinct(request.groupIds).map((groupId) => deps.groups.describeConsumerGroup(groupId));
      if (request.includeAuthorizedOperations)
        for (const group of groups)
          if (group.errorCode === 0) group.authorizedOperations = ALL_GROUP_OPERATIONS;
      return createConsumerGroupDescribeResponse({ groups });
    },
  };
}
