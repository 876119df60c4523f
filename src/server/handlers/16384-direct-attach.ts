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
import type { ApiHandler, ConnectionContext } from '../net/handler.ts';

/** DirectAttach: the way in which data moves between this client and the gateway, the first of the client's that there is here. */
export function directAttachHandler(
  direct: DirectService,
): ApiHandler<DirectAttachRequest, DirectAttachResponse> {
  return {
    apiKey: directAttachRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: directAttachRequest,
    response: directAttachResponse,
    async handle({ transports, provider }, { connection, apiVersion }) {
      const { attachments, limits, maxFrameBytes } = direct;
      const { maxRequestBytes, maxRanges } = limits;
      const common = { maxRequestBytes: BigInt(maxRequestBytes), maxRanges, maxFrameBytes };
      let without = '';
      // Each is looked for once, however often it is named.
      const wanted = [...new Set(transports)];
      for (const transport of wanted) {
        if (transport === 'inline') return directAttachResponse.create({ ...common, transport });
        if (transport === 'fabric' && apiVersion >= 1) {
          const attached = await attachByFabric(direct, provider, connection);
          if (typeof attached === 'object') return directAttachResponse.create({ ...common, ...attached });
          without = ` (${attached})`;
        }
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
        errorMessage: `None of ${wanted.join(', ')} is served here${without}; ${here} can be had`,
      });
    },
  };
}

/** What the client is told, or why it cannot be. The steps of attaching are DirectFabric's. */
async function attachByFabric(
  direct: DirectService,
  provider: string,
  connection: ConnectionContext,
): Promise<Partial<DirectAttachResponse> | string> {
  const { fabric } = direct;
  if (fabric === null) return 'direct.fabric.enable is false';
  if (direct.encrypts(connection.listenerName)) return 'the listener encrypts, which no fabric does';
  try {
    const ways = await fabric.ways(provider);
    const { id } = fabric.attach(connection, connection.closed, connection.outstanding, ways);
    const { maxRegions, maxRegionBytes } = fabric.limits;
    return { transport: 'fabric', attachmentId: id, maxRegions, maxRegionBytes: BigInt(maxRegionBytes) };
  } catch (error) {
    return (error as Error).message;
  }
}
