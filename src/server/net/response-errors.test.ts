import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { heartbeatResponse } from '../../protocol/generated/heartbeat-response.ts';
import {
  createPartitionProduceResponse,
  createProduceResponse,
  createTopicProduceResponse,
} from '../../protocol/generated/produce-response.ts';
import { errorCodesOf } from './response-errors.ts';

describe('errorCodesOf', () => {
  it('finds the codes of partitions as well as that of the response', () => {
    const partition = (errorCode: number) => createPartitionProduceResponse({ errorCode });
    const { MESSAGE_TOO_LARGE, NONE, REBALANCE_IN_PROGRESS } = ErrorCode;
    const produced = createProduceResponse({
      responses: [
        createTopicProduceResponse({ partitionResponses: [partition(NONE), partition(MESSAGE_TOO_LARGE)] }),
        createTopicProduceResponse({ partitionResponses: [partition(MESSAGE_TOO_LARGE)] }),
      ],
    });
    assert.deepEqual(errorCodesOf(produced), [MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE]);
    const heartbeat = heartbeatResponse.create({ errorCode: REBALANCE_IN_PROGRESS });
    assert.deepEqual(errorCodesOf(heartbeat), [REBALANCE_IN_PROGRESS]);
    assert.deepEqual(errorCodesOf(heartbeatResponse.create()), []);
    assert.deepEqual(errorCodesOf(null), []);
  });
});
