import { requestHeaderVersion } from '../protocol/api-keys.ts';
import { requestHeader } from '../protocol/generated/request-header.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import { Writer } from '../protocol/wire/writer.ts';

const LENGTH_BYTES = 4;

/** The correlation id behind this one; they are of 32 bits. */
export function idAfter(correlationId: number): number {
  return (correlationId + 1) | 0;
}

/** A request in its frame, in pieces. */
export function requestFrame<Req>(
  codec: MessageCodec<Req>,
  request: Partial<Req>,
  version: number,
  correlationId: number,
  clientId: string,
): Uint8Array[] {
  const { apiKey } = codec;
  const writer = new Writer();
  writer.int32(0);
  const header = requestHeader.create({
    requestApiKey: apiKey,
    requestApiVersion: version,
    correlationId,
    clientId,
  });
  requestHeader.write(writer, header, requestHeaderVersion(apiKey, version));
  codec.write(writer, codec.create(request), version);
  writer.int32At(0, writer.length - LENGTH_BYTES);
  return writer.finish() as Uint8Array[];
}
