import assert from 'node:assert/strict';
import { type ProduceRequest, produceRequest } from '../../protocol/generated/produce-request.ts';
import { type ProduceResponse, produceResponse } from '../../protocol/generated/produce-response.ts';
import type { ApiHandler, ConnectionContext, RequestContext } from '../net/handler.ts';
import { orderedProduce, ProduceOrders } from './direct-order.ts';

describe('the order of what a direct connection produces', () => {
  const seen: string[] = [];
  const produce = {
    apiKey: 0,
    handle: ({ topicData }: ProduceRequest) => {
      seen.push(Buffer.from(topicData[0]!.partitionData[0]!.records!).toString());
      return produceResponse.create();
    },
  } as unknown as ApiHandler<ProduceRequest, ProduceResponse>;
  const requestOf = (records: Uint8Array) =>
    produceRequest.create({
      topicData: [{ name: 't', topicId: '', partitionData: [{ index: 0, records }] }],
    });
  const contextOf = (connection: object) => ({ connection, memory: null }) as unknown as RequestContext;

  beforeEach(() => {
    seen.length = 0;
  });

  it('is that of the requests: Produce waits for a put whose data is still being taken', async () => {
    const orders = new ProduceOrders();
    const { handle } = orderedProduce(produce, orders);
    const connection = {} as ConnectionContext;
    let taken = (_what: string) => {};
    const data = new Promise<string>((resolve) => {
      taken = resolve;
    });
    orders.of(connection).submit(data, (what) => void seen.push(what), assert.ifError);
    const frame = Buffer.from('after');
    const answered = handle(requestOf(frame), contextOf(connection));
    // The frame is valid during the call only.
    frame.fill(0);
    void handle(requestOf(Buffer.from('other')), contextOf({}));
    assert.deepEqual(seen, ['other'], 'other connections do not wait');
    taken('put');
    await answered;
    assert.deepEqual(seen, ['other', 'put', 'after']);
    void handle(requestOf(Buffer.from('now')), contextOf(connection));
    assert.equal(seen.at(-1), 'now');
  });

  it('goes on behind a put that fails', async () => {
    const orders = new ProduceOrders();
    const { handle } = orderedProduce(produce, orders);
    const connection = {} as ConnectionContext;
    const failed = Promise.reject(new Error('no memory'));
    orders.of(connection).submit(
      failed,
      () => assert.fail(),
      () => void seen.push('failed'),
    );
    await handle(requestOf(Buffer.from('after')), contextOf(connection));
    assert.deepEqual(seen, ['failed', 'after']);
  });
});
