import { refusalOf } from '../../broker/direct/direct-gets.ts';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import { allocateFor, type MappedSession } from '../../broker/direct/mapped-memory.ts';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { type DirectMapRequest, directMapRequest } from '../../protocol/generated/direct-map-request.ts';
import {
  createDirectMapAllocated,
  createDirectMapViewResponse,
  type DirectMapResponse,
  directMapResponse,
} from '../../protocol/generated/direct-map-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { countUse } from '../net/throttling.ts';

/** Each takes memory or is a signature to check. */
const MAX_ITEMS = 1024;

/**
 * DirectMap: memory of the gateway that a trusted client on this machine maps, to write events into or to read values where they are. What
 * it looks at counts in the fetch quota.
 */
export function directMapHandler(
  direct: DirectService,
  quota: RateQuota,
): ApiHandler<DirectMapRequest, DirectMapResponse> {
  return {
    apiKey: directMapRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directMapRequest,
    response: directMapResponse,
    async handle(request, context) {
      const { connection } = context;
      const attachment = direct.attachments?.find(request.attachmentId, connection) ?? null;
      const session = attachment?.session ?? null;
      if (session === null)
        return refused('This connection has nothing mapped: attach with the transport mapped');
      if (request.allocate.length + request.views.length > MAX_ITEMS)
        return refused(`${request.allocate.length + request.views.length} items, ${MAX_ITEMS} are allowed`);
      for (const lease of request.release) session.release(lease);
      const [allocated, views] = await Promise.all([
        Promise.all(request.allocate.map((bytes) => allocate(direct, session, bytes))),
        Promise.all(request.views.map((view) => look(direct, session, view, connection.principal))),
      ]);
      const throttleTimeMs = quota.active ? countUse(quota, context, bytesOf(request, views)) : 0;
      return directMapResponse.create({ throttleTimeMs, allocated, views });
    },
  };
}

async function allocate(direct: DirectService, session: MappedSession, bytes: bigint) {
  try {
    const { lease, offset } = await allocateFor(session, Number(bytes), direct.puts);
    return createDirectMapAllocated({ lease, offset: BigInt(offset) });
  } catch (error) {
    return createDirectMapAllocated(refusalOf(error, direct.logger));
  }
}

async function look(
  direct: DirectService,
  session: MappedSession,
  wanted: DirectMapRequest['views'][number],
  principal: string,
) {
  try {
    const { lease, offset, crc } = await direct.views.view(session, wanted, principal);
    return createDirectMapViewResponse({ lease, offset: BigInt(offset), crc });
  } catch (error) {
    return createDirectMapViewResponse(refusalOf(error, direct.logger));
  }
}

function bytesOf(request: DirectMapRequest, views: readonly { errorCode: number }[]): number {
  let bytes = 0;
  for (const [i, { errorCode }] of views.entries())
    if (errorCode === ErrorCode.NONE) bytes += request.views[i]!.length;
  return bytes;
}

function refused(errorMessage: string): DirectMapResponse {
  return directMapResponse.create({ errorCode: ErrorCode.INVALID_REQUEST, errorMessage });
}
