import type { GetItem, GotItem } from '../../broker/direct/direct-gets.ts';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type DirectGetItem,
  type DirectGetRequest,
  directGetRequest,
} from '../../protocol/generated/direct-get-request.ts';
import { type DirectGetResponse, directGetResponse } from '../../protocol/generated/direct-get-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { countUse } from '../net/throttling.ts';

/** With what goes out behind the message, and what of the connection's room it holds until then. */
interface Answer extends DirectGetResponse {
  data: readonly MemoryPiece[];
  heldBytes: number;
}

/**
 * DirectGet: ranges of values, each given by a signed reference. They go to memory that the client has attached, or behind the answer in its
 * frame. An item that cannot be served has an error of its own. What was got counts in the fetch quota; the client waits before its next
 * request.
 */
export function directGetHandler(
  direct: DirectService,
  quota: RateQuota,
): ApiHandler<DirectGetRequest, DirectGetResponse> {
  return {
    apiKey: directGetRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: directGetRequest,
    response: directGetResponse,
    trailer: (response) => (response as Answer).data,
    heldBytes: (response) => (response as Answer).heldBytes,
    async handle({ attachmentId, items }, context) {
      const { connection } = context;
      try {
        const inline = attachmentId === 0n;
        const attachment = inline ? null : direct.attachmentOf(attachmentId, connection);
        if (!inline && attachment === null) throw noAttachment(attachmentId);
        const { principal, outstanding } = connection;
        const got = await direct.gets.get(items.map(itemOf), principal, attachment, outstanding);
        const throttleTimeMs = quota.active ? countUse(quota, context, bytesOf(got.items)) : 0;
        const response = directGetResponse.create({ throttleTimeMs, items: got.items });
        return { ...response, data: got.data, heldBytes: got.heldBytes };
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const { code: errorCode, message: errorMessage } = error;
        return { ...directGetResponse.create({ errorCode, errorMessage }), data: [], heldBytes: 0 };
      }
    },
  };
}

function bytesOf(items: readonly GotItem[]): number {
  let bytes = 0;
  for (const { errorCode, length } of items) if (errorCode === ErrorCode.NONE) bytes += length;
  return bytes;
}

function itemOf({ reference, ranges, region, targetOffset }: DirectGetItem): GetItem {
  return { reference, ranges, region, targetOffset: Number(targetOffset) };
}

export function noAttachment(id: bigint): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, `This connection has no attachment ${id}: attach first`);
}
