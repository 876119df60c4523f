import type { Assembled, PutBatch } from '../../broker/direct/direct-puts.ts';
import type { DirectService } from '../../broker/direct/direct-service.ts';
import type { InOrder } from '../../broker/partitions/in-order.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { type DirectPutRequest, directPutRequest } from '../../protocol/generated/direct-put-request.ts';
import { type DirectPutResponse, directPutResponse } from '../../protocol/generated/direct-put-response.ts';
import { type ProduceRequest, produceRequest } from '../../protocol/generated/produce-request.ts';
import type { ProduceResponse } from '../../protocol/generated/produce-response.ts';
import type { ApiHandler, ConnectionContext, RequestContext } from '../net/handler.ts';
import { noAttachment } from './16386-direct-get.ts';
import type { ProduceOrders } from './direct-order.ts';

/** The version of Produce whose rules a put follows. */
const PRODUCE_VERSION = 13;

/**
 * DirectPut: Produce, with data that is taken from memory which the client has attached. Puts of a connection are appended in the order of
 * the requests, Produce requests among them; everything that Produce promises (order, idempotence, transactions, acks) holds.
 */
export function directPutHandler(
  direct: DirectService,
  produce: ApiHandler<ProduceRequest, ProduceResponse>,
  orders: ProduceOrders,
): ApiHandler<DirectPutRequest, DirectPutResponse> {
  return {
    apiKey: directPutRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directPutRequest,
    response: directPutResponse,
    handle(request, context) {
      return append(direct, produce, request, context, orders.of(context.connection));
    },
  };
}

function append(
  direct: DirectService,
  produce: ApiHandler<ProduceRequest, ProduceResponse>,
  request: DirectPutRequest,
  context: RequestContext,
  order: InOrder,
): Promise<DirectPutResponse> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown) => {
      if (!(error instanceof ApiError)) reject(error);
      else resolve(directPutResponse.create({ errorCode: error.code, errorMessage: error.message }));
    };
    order.submit(
      assemble(direct, request, context.connection),
      (assembled) => {
        const { memory, lease } = assembled;
        const attachment = direct.attachmentOf(request.attachmentId, context.connection);
        const produced = produce.handle(produceOf(request, assembled), {
          ...context,
          apiVersion: PRODUCE_VERSION,
          memory,
        });
        Promise.resolve(produced)
          .then((response) => {
            // What was appended is the gateway's; what was refused the client may send again.
            if (lease !== null && isAppended(response!)) attachment?.session?.release(lease);
            resolve(answer(response!));
          }, failed)
          .finally(() => memory.release());
      },
      failed,
    );
  });
}

async function assemble(
  direct: DirectService,
  { attachmentId, acks, topics, timeoutMs }: DirectPutRequest,
  connection: ConnectionContext,
): Promise<Assembled> {
  const attachment = direct.attachmentOf(attachmentId, connection);
  if (attachment === null) throw noAttachment(attachmentId);
  if (acks === 0)
    throw new ApiError(ErrorCode.INVALID_REQUIRED_ACKS, 'A put is answered: its memory is in use until then');
  const puts: PutBatch[] = topics.flatMap(({ partitions }) =>
    partitions.map(({ batch, data }) => ({
      batch,
      data: data.map((piece) => ({ ...piece, offset: Number(piece.offset) })),
    })),
  );
  return direct.puts.assemble(puts, attachment, timeoutMs);
}

function isAppended({ responses }: ProduceResponse): boolean {
  return responses.every(({ partitionResponses }) =>
    partitionResponses.every(({ errorCode }) => errorCode === ErrorCode.NONE),
  );
}

function produceOf(request: DirectPutRequest, { batches }: Assembled): ProduceRequest {
  const { transactionalId, acks, timeoutMs } = request;
  let next = 0;
  const topicData = request.topics.map(({ topicId, partitions }) => ({
    name: '',
    topicId,
    partitionData: partitions.map(({ index }) => ({ index, records: batches[next++]! })),
  }));
  return produceRequest.create({ transactionalId, acks, timeoutMs, topicData });
}

function answer({ responses, throttleTimeMs }: ProduceResponse): DirectPutResponse {
  return directPutResponse.create({
    throttleTimeMs,
    topics: responses.map(({ topicId, partitionResponses }) => ({
      topicId,
      partitions: partitionResponses.map(
        ({ index, errorCode, errorMessage, baseOffset, logAppendTimeMs, logStartOffset }) => ({
          index,
          errorCode,
          errorMessage,
          baseOffset,
          logAppendTimeMs,
          logStartOffset,
        }),
      ),
    })),
  });
}
