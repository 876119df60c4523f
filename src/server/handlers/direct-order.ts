import { InOrder } from '../../broker/partitions/in-order.ts';
import type { ProduceRequest } from '../../protocol/generated/produce-request.ts';
import type { ProduceResponse } from '../../protocol/generated/produce-response.ts';
import type { ApiHandler, ConnectionContext } from '../net/handler.ts';
import { keepRecords } from './00-produce.ts';

/** The order in which what a connection produces is appended, by whichever API it comes. */
export class ProduceOrders {
  readonly #orders = new WeakMap<ConnectionContext, InOrder>();

  of(connection: ConnectionContext): InOrder {
    let order = this.#orders.get(connection);
    if (order === undefined) {
      order = new InOrder();
      this.#orders.set(connection, order);
    }
    return order;
  }
}

/** Produce for direct listeners: it waits for puts that the connection has sent before, whose data is still being taken. */
export function orderedProduce(
  produce: ApiHandler<ProduceRequest, ProduceResponse>,
  orders: ProduceOrders,
): ApiHandler<ProduceRequest, ProduceResponse> {
  return {
    ...produce,
    handle(request, context) {
      const order = orders.of(context.connection);
      if (order.size === 0) return produce.handle(request, context);
      if (context.memory === null) keepRecords(request);
      return new Promise((resolve, reject) => {
        const run = () => {
          try {
            Promise.resolve(produce.handle(request, context)).then(resolve, reject);
          } catch (error) {
            reject(error);
          }
        };
        order.submit(null, run, reject);
      });
    },
  };
}
