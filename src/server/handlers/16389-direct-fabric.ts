import type { DirectService } from '../../broker/direct/direct-service.ts';
import { FabricAttachment } from '../../broker/direct/fabric-attachment.ts';
import { ApiError } from '../../protocol/errors.ts';
import {
  type DirectFabricRequest,
  directFabricRequest,
} from '../../protocol/generated/direct-fabric-request.ts';
import {
  type DirectFabricResponse,
  directFabricResponse,
} from '../../protocol/generated/direct-fabric-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { noAttachment } from './16386-direct-get.ts';

/** DirectFabric: the steps by which a client is attached over libfabric, and the memory that it publishes then. */
export function directFabricHandler(
  direct: DirectService,
): ApiHandler<DirectFabricRequest, DirectFabricResponse> {
  return {
    apiKey: directFabricRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directFabricRequest,
    response: directFabricResponse,
    async handle({ attachmentId, message, regions }, { connection }) {
      try {
        const attachment = direct.attachmentOf(attachmentId, connection);
        if (!(attachment instanceof FabricAttachment)) throw noAttachment(attachmentId);
        for (const region of regions) attachment.publish(region);
        const answer = message === null ? null : await attachment.exchange(message);
        return directFabricResponse.create({ message: answer });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return directFabricResponse.create({ errorCode: error.code, errorMessage: error.message });
      }
    },
  };
}
