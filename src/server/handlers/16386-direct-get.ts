import type { GetItem } from '../../broker/direct/direct-gets.ts';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type DirectGetItem,
  type DirectGetRequest,
  directGetRequest,
} from '../../protocol/generated/direct-get-request.ts';
import { type DirectGetResponse, directGetResponse } from '../../protocol/generated/direct-get-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** With what goes out behind the message. */
interface Answer extends DirectGetResponse {
  data: readonly MemoryPiece[];
}

/**
 * DirectGet: ranges of values, each given by a signed reference. They go to memory that the client has attached, or behind the answer in its
 * frame. An item that cannot be served has an error of its own.
 */
export function directGetHandler(direct: DirectService): ApiHandler<DirectGetRequest, DirectGetResponse> {
  return {
    apiKey: directGetRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directGetRequest,
    response: directGetResponse,
    trailer: (response) => (response as Answer).data,
    async handle({ attachmentId, items }, { connection }) {
      try {
        const inline = attachmentId === 0n;
        const attachment = inline ? null : (direct.attachments?.find(attachmentId, connection) ?? null);
        if (!inline && attachment === null) throw noAttachment(attachmentId);
        const got = await direct.gets.get(items.map(itemOf), connection.principal, attachment);
        return answer(directGetResponse.create({ items: got.items }), got.data);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const { code: errorCode, message: errorMessage } = error;
        return answer(directGetResponse.create({ errorCode, errorMessage }), []);
      }
    },
  };
}

function answer(response: DirectGetResponse, data: readonly MemoryPiece[]): Answer {
  return { ...response, data };
}

function itemOf({ reference, ranges, region, targetOffset }: DirectGetItem): GetItem {
  return { reference, ranges, region, targetOffset: Number(targetOffset) };
}

export function noAttachment(id: bigint): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, `This connection has no attachment ${id}: attach first`);
}
