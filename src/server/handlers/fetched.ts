// What the requests that fetch have in common: Fetch and DirectFetch.
import type { SignReferences } from '../../broker/partitions/fetch-parts.ts';
import type { FetchedPartition, FetchTarget } from '../../broker/partitions/fetch-service.ts';
import type { FetchRequestPartition } from '../../broker/partitions/fetch-session.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { releasePieces } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { RequestContext } from '../net/handler.ts';
import { quotaClientOf } from '../net/quota-client.ts';

/** The isolation level of a request that reads only what was committed. */
export const READ_COMMITTED = 1;

/** How references are signed for whoever is at the other end of a connection; see broker/direct. */
export type ReferenceSigning = (principal: string) => SignReferences;

/** Where a request wants to read from, or the error that it is to be answered with. */
export function targetOf(
  partitions: PartitionManager,
  request: FetchRequestPartition,
  byId: boolean,
): FetchTarget {
  const { topic, partition: index } = request;
  const partition = byId ? partitions.findById(topic, index) : partitions.find(topic, index);
  if (partition !== null) return { request, partition, errorCode: ErrorCode.NONE };
  const errorCode = byId
    ? partitions.errorOfMissingById(topic, index)
    : partitions.errorOfMissing(topic, index);
  return { request, partition, errorCode };
}

/** More than this in one answer is throttled whatever else the client does. */
export function mostOf(quota: RateQuota, context: RequestContext): number {
  return Math.min(Math.floor(quota.largest(quotaClientOf(context))), 0x7fffffff);
}

/** What becomes of an answer, by what it holds. */
export interface FetchUse {
  /** How long the client has to wait, milliseconds. */
  readonly throttleMs: number;
  /** The client gets an empty answer, and the same records later. */
  readonly isHeldBack: boolean;
}

export const UNLIMITED: FetchUse = { throttleMs: 0, isHeldBack: false };

/** Counts what an answer holds. What is too much by itself would be held back for ever: it is given, and the client waits behind it. */
export function countFetched(
  quota: RateQuota,
  context: RequestContext,
  results: readonly FetchedPartition[],
): FetchUse {
  const client = quotaClientOf(context);
  const bytes = results.reduce(
    (total, { records }) => total + records.reduce((sum, piece) => sum + piece.byteLength, 0),
    0,
  );
  const throttleMs = quota.record(client, bytes);
  if (throttleMs === 0) return UNLIMITED;
  const isHeldBack = bytes <= quota.largest(client);
  if (isHeldBack) quota.takeBack(client, bytes);
  context.connection.throttle(throttleMs);
  return { throttleMs, isHeldBack };
}

/** Of results that are not sent. */
export function release(results: readonly FetchedPartition[]): void {
  for (const { records } of results) releasePieces(records);
}
