import assert from 'node:assert/strict';
import { ErrorCode } from '../protocol/errors.ts';
import { heartbeatRequest } from '../protocol/generated/heartbeat-request.ts';
import { heartbeatResponse } from '../protocol/generated/heartbeat-response.ts';
import type { Cluster } from './cluster.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import { DirectError } from './errors.ts';

describe('the way to a coordinator', () => {
  let forgotten: string[];
  let answer: () => Promise<{ errorCode: number }>;

  const call = () => {
    const cluster = {
      coordinator: async () => ({ call: () => answer() }),
      forgetCoordinator: (kind: string, key: string) => forgotten.push(`${kind} ${key}`),
    } as unknown as Cluster;
    return new CoordinatorLink(cluster, 'group', 'g', 'control').call(
      heartbeatRequest,
      heartbeatResponse,
      {},
      {
        version: 4,
        doing: 'test',
        errorsOf: ({ errorCode }) => [errorCode],
      },
    );
  };

  beforeEach(() => {
    forgotten = [];
  });

  it('is kept while the coordinator answers, whatever it says of the group', async () => {
    for (const errorCode of [ErrorCode.NONE, ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.UNKNOWN_MEMBER_ID]) {
      answer = async () => ({ errorCode });
      assert.equal((await call()).errorCode, errorCode);
    }
    assert.deepEqual(forgotten, []);
  });

  it('is found anew when it is another, or does not answer', async () => {
    answer = async () => ({ errorCode: ErrorCode.NOT_COORDINATOR });
    assert.equal((await call()).errorCode, ErrorCode.NOT_COORDINATOR);
    for (const code of ['CONNECTION', 'TIMEOUT'] as const) {
      answer = () => Promise.reject(new DirectError(code, 'no', { doing: 'test' }));
      await assert.rejects(call(), { code });
    }
    answer = () => Promise.reject(new DirectError('ABORTED', 'no', { doing: 'test' }));
    await assert.rejects(call(), { code: 'ABORTED' });
    assert.deepEqual(forgotten, ['group g', 'group g', 'group g']);
  });
});
