import type { GroupCoordinator } from '../../broker/groups/coordinator.ts';
import type { ShareStateCoordinator } from '../../broker/share/state-coordinator.ts';
import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import {
  type FindCoordinatorRequest,
  findCoordinatorRequest,
} from '../../protocol/generated/find-coordinator-request.ts';
import {
  type Coordinator,
  createCoordinator,
  createFindCoordinatorResponse,
  type FindCoordinatorResponse,
  findCoordinatorResponse,
} from '../../protocol/generated/find-coordinator-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** Kafka's key types. */
const GROUP = 0;
const TRANSACTION = 1;
const SHARE = 2;
/** From this version a request asks for several keys. */
const HAS_SEVERAL_KEYS = 4;
/** From this version there are share coordinators (KIP-932). */
const HAS_SHARE_KEYS = 6;
/** What follows the group in the key of a share partition: its topic's id and its number, for Kafka any of 32 bits. */
const SHARE_KEY_END = /:[A-Za-z0-9_-]{22}:([+-]?\d{1,10})$/;
const INT32_END = 2 ** 31;

export interface FindCoordinatorDependencies {
  groups: GroupCoordinator;
  transactions: TransactionCoordinator;
  states: Pick<ShareStateCoordinator, 'find'>;
  /** This broker as clients of the listener reach it. */
  broker: (listenerName: string) => { nodeId: number; host: string; port: number };
}

/**
 * FindCoordinator 0-6: this broker coordinates every group, every transaction, and the state of every share partition.
 */
export function findCoordinatorHandler(
  deps: FindCoordinatorDependencies,
): ApiHandler<FindCoordinatorRequest, FindCoordinatorResponse> {
  async function find(key: string, keyType: number, apiVersion: number, listenerName: string) {
    const errorCode = await coordinatorError(deps, key, keyType, apiVersion);
    if (errorCode === ErrorCode.NONE) return createCoordinator({ key, ...deps.broker(listenerName) });
    const errorMessage = keyType === SHARE ? '' : errorInfo(errorCode).message;
    return createCoordinator({ key, nodeId: -1, host: '', port: -1, errorCode, errorMessage });
  }
  return {
    apiKey: ApiKey.FindCoordinator,
    minVersion: 0,
    maxVersion: 6,
    request: findCoordinatorRequest,
    response: findCoordinatorResponse,
    async handle(request, { apiVersion, connection: { listenerName } }) {
      const { key, keyType, coordinatorKeys } = request;
      if (apiVersion < HAS_SEVERAL_KEYS) return single(await find(key, keyType, apiVersion, listenerName));
      const coordinators: Coordinator[] = [];
      for (const each of coordinatorKeys)
        coordinators.push(await find(each, keyType, apiVersion, listenerName));
      return createFindCoordinatorResponse({ coordinators });
    },
  };
}

async function coordinatorError(
  { groups, transactions, states }: FindCoordinatorDependencies,
  key: string,
  keyType: number,
  apiVersion: number,
): Promise<ErrorCode> {
  switch (keyType) {
    case GROUP:
      return groups.find(key);
    case TRANSACTION:
      return transactions.find(key);
    case SHARE:
      return apiVersion >= HAS_SHARE_KEYS && isShareKey(key) ? states.find(key) : ErrorCode.INVALID_REQUEST;
    default:
      return ErrorCode.INVALID_REQUEST;
  }
}

/** groupId:topicId:partition */
function isShareKey(key: string): boolean {
  const end = SHARE_KEY_END.exec(key);
  if (end === null || key.slice(0, end.index).trim() === '') return false;
  const partition = Number(end[1]);
  return partition >= -INT32_END && partition < INT32_END;
}

function single({ nodeId, host, port, errorCode, errorMessage }: Coordinator): FindCoordinatorResponse {
  return createFindCoordinatorResponse({ nodeId, host, port, errorCode, errorMessage });
}
