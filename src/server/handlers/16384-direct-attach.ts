import type { DirectService } from '../../broker/direct/direct-service.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DirectAttachRequest,
  directAttachRequest,
} from '../../protocol/generated/direct-attach-request.ts';
import {
  type DirectAttachResponse,
  directAttachResponse,
} from '../../protocol/generated/direct-attach-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DirectAttach: the way in which data moves between this client and the gateway, the first of the client's that there is here. */
export function directAttachHandler(
  direct: DirectService,
): ApiHandler<DirectAttachRequest, DirectAttachResponse> {
  return {
    apiKey: directAttachRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directAttachRequest,
    response: directAttachResponse,
    handle({ transports }, { connection }) {
      const { attachments, limits } = direct;
      const common = { maxRequestBytes: BigInt(limits.maxRequestBytes), maxRanges: limits.maxRanges };
      for (const transport of transports) {
        if (transport === 'inline') return directAttachResponse.create({ ...common, transport });
        const maps = transport === 'mapped';
        if ((!maps && transport !== 'shared-memory') || attachments === null) continue;
        if (maps && !attachments.mapsOn(connection.listenerName)) continue;
        const { id, token } = attachments.attach(connection, connection.closed, maps);
        const { maxRegions, maxRegionBytes } = attachments.limits;
        return directAttachResponse.create({
          ...common,
          transport,
          attachmentId: id,
          socketName: attachments.socketName,
          token,
          maxRegions,
          maxRegionBytes: BigInt(maxRegionBytes),
        });
      }
      const mapped = attachments?.mapsOn(connection.listenerName) ? 'mapped, ' : '';
      const here = attachments === null ? 'inline' : `${mapped}shared-memory and inline`;
      return directAttachResponse.create({
        errorCode: ErrorCode.INVALID_REQUEST,
        errorMessage: `None of ${transports.join(', ')} is served here; ${here} can be had`,
      });
    },
  };
}
