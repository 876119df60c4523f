import { Reader } from '../../protocol/wire/reader.ts';
import { Writer } from '../../protocol/wire/writer.ts';
import type { ApiHandler, RequestContext } from '../net/handler.ts';
import { Outstanding } from '../net/outstanding.ts';

/** The versions that a handler announces. */
export function versionsOf({ minVersion, maxVersion }: { minVersion: number; maxVersion: number }): number[] {
  return Array.from({ length: maxVersion - minVersion + 1 }, (_, index) => minVersion + index);
}

/** Calls a handler as a client of this version would: request and response go through their bytes. */
export async function call<Req, Res>(
  handler: ApiHandler<Req, Res>,
  apiVersion: number,
  request: Partial<Req>,
  maxOutstandingBytes = Number.POSITIVE_INFINITY,
): Promise<Res> {
  const writer = new Writer();
  handler.request.write(writer, handler.request.create(request), apiVersion);
  const received = handler.request.read(new Reader(writer.finishBytes()), apiVersion);
  const context: RequestContext = {
    apiKey: handler.apiKey,
    apiVersion,
    correlationId: 1,
    clientId: 'test',
    connection: {
      id: 1,
      listenerName: 'PLAINTEXT',
      remoteAddress: '127.0.0.1',
      remotePort: 50000,
      principal: 'User:ANONYMOUS',
      clientSoftwareName: 'unknown',
      clientSoftwareVersion: 'unknown',
      closed: new AbortController().signal,
      onClosed: () => () => {},
      outstanding: new Outstanding(maxOutstandingBytes),
      throttle: () => {},
    },
    memory: null,
  };
  const response = await handler.handle(received, context);
  if (response === null) throw new Error('the handler did not answer');
  const answer = new Writer();
  handler.response.write(answer, response, apiVersion);
  return handler.response.read(new Reader(answer.finishBytes()), apiVersion);
}
