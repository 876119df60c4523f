import type { DirectService } from '../../broker/direct/direct-service.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DirectReleaseRequest,
  directReleaseRequest,
} from '../../protocol/generated/direct-release-request.ts';
import {
  type DirectReleaseResponse,
  directReleaseResponse,
} from '../../protocol/generated/direct-release-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DirectRelease: memory of the client that is no longer used, or all of it. What is under way with it still ends. */
export function directReleaseHandler(
  direct: DirectService,
): ApiHandler<DirectReleaseRequest, DirectReleaseResponse> {
  return {
    apiKey: directReleaseRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directReleaseRequest,
    response: directReleaseResponse,
    handle({ attachmentId, regions }, { connection }) {
      const attachment = direct.attachmentOf(attachmentId, connection);
      if (attachment === null) return directReleaseResponse.create({ errorCode: ErrorCode.INVALID_REQUEST });
      if (regions === null) direct.detach(attachment);
      const known = (regions ?? []).map((region) => attachment.release(region));
      const errorCode = known.every((was) => was) ? ErrorCode.NONE : ErrorCode.INVALID_REQUEST;
      return directReleaseResponse.create({ errorCode });
    },
  };
}
