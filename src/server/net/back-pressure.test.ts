import assert from 'node:assert/strict';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import type { NetOptions } from '../../native/net.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { type HeartbeatRequest, heartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import { type HeartbeatResponse, heartbeatResponse } from '../../protocol/generated/heartbeat-response.ts';
import {
  type SaslAuthenticateRequest,
  saslAuthenticateRequest,
} from '../../protocol/generated/sasl-authenticate-request.ts';
import {
  type SaslAuthenticateResponse,
  saslAuthenticateResponse,
} from '../../protocol/generated/sasl-authenticate-response.ts';
import { systemClock } from '../../util/clock.ts';
import { type Logger, silentLogger } from '../../util/logger.ts';
import { Client, handler } from './client.fixture.ts';
import type { AnyHandler, ConnectionContext } from './handler.ts';
import { KafkaListeners } from './listener.ts';
import { noMetrics } from './metrics.ts';
import { HandlerRegistry } from './registry.ts';

const FRAME_BYTES = 100_000;
/** What no kernel buffers between two sockets take. */
const ANSWER_BYTES = 32 << 20;

/** Waits for events, not for times. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('back-pressure', () => {
  let listeners: KafkaListeners;
  let clients: Client[] = [];
  let lines: string[] = [];
  let port = 0;

  async function start(
    handlers: AnyHandler[],
    net: Partial<NetOptions> = {},
    requestQuota?: RateQuota,
  ): Promise<void> {
    lines = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (_fields: object, line: string) => void lines.push(line),
    };
    listeners = new KafkaListeners({
      net,
      registry: new HandlerRegistry(handlers),
      logger,
      metrics: noMetrics,
      clock: systemClock,
      maxOutstandingBytes: ANSWER_BYTES,
      ...(requestQuota === undefined ? {} : { requestQuota }),
    });
    port = (await listeners.listen({ name: 'PLAINTEXT', host: 'localhost', port: 0 })).port;
  }
  function client(): Client {
    const one = new Client(port);
    clients.push(one);
    return one;
  }
  afterEach(async () => {
    for (const one of clients) one.socket.destroy();
    clients = [];
    await listeners.shutdown(0);
    assert.equal(arenaStats().blocks, 0);
  });

  it('of clients over their quota does not hold up others, however much they send', async () => {
    const seen = new Map<number, number>();
    const take = handler<SaslAuthenticateRequest, SaslAuthenticateResponse>(
      saslAuthenticateRequest,
      saslAuthenticateResponse,
      ({ authBytes }, { connection }) => {
        const count = (seen.get(connection.id) ?? 0) + 1;
        seen.set(connection.id, count);
        if ((authBytes as Uint8Array)[0] === 1) connection.throttle(1_000_000);
        return saslAuthenticateResponse.create();
      },
    );
    // Room for four frames of all connections together.
    await start([{ ...take, borrowsFrame: true }], { maxInFlightBytes: 4 * FRAME_BYTES });
    const send = (one: Client, fill: number) =>
      one.send(saslAuthenticateRequest, 2, { authBytes: Buffer.alloc(FRAME_BYTES, fill) });
    const throttled = [client(), client(), client()];
    for (const one of throttled) {
      for (let n = 0; n < 4; n++) send(one, 1);
      await one.receive(saslAuthenticateResponse, 2);
    }
    const other = client();
    for (let n = 0; n < 20; n++) {
      send(other, 0);
      await other.receive(saslAuthenticateResponse, 2);
    }
    assert.equal([...seen.values()].filter((count) => count === 20).length, 1);
  });

  it('counts the time of requests that get no answer', async () => {
    const quota = new RateQuota('rate', systemClock, { samples: 11, sampleMs: 1000 });
    const values = new Map([['rate', 1e-9]]);
    quota.update([{ entity: new Map([['client-id', 'test']]), values }]);
    let first: ConnectionContext | null = null;
    const beat = handler<HeartbeatRequest, HeartbeatResponse>(
      heartbeatRequest,
      heartbeatResponse,
      (_request, { connection }) => {
        first = connection;
        return null;
      },
    );
    await start([beat], {}, quota);
    client().send(heartbeatRequest, 4, {});
    await until(() => first !== null);
    await until(() => (first as unknown as { throttledMs: number }).throttledMs > 0);
  });

  const data = (bytes: number) => {
    const memory = NativeMemory.allocate(bytes)!;
    return [new MemoryPiece(memory)];
  };
  /** Answers with as much data as the request says, once the connection has room for it. */
  function dataHandler(outstanding: ConnectionContext['outstanding'][]): AnyHandler {
    const sizes = new WeakMap<object, number>();
    const serve = handler<HeartbeatRequest, HeartbeatResponse>(
      heartbeatRequest,
      heartbeatResponse,
      async ({ generationId: bytes }, { connection }) => {
        await connection.outstanding.acquire(bytes);
        outstanding.push(connection.outstanding);
        const response = heartbeatResponse.create();
        sizes.set(response, bytes);
        return response;
      },
    );
    return {
      ...serve,
      trailer: (response) => data(sizes.get(response)!),
      heldBytes: (response) => sizes.get(response)!,
    };
  }

  it('lets answers of a connection hold only so much memory until the client has taken them', async () => {
    const served: ConnectionContext['outstanding'][] = [];
    await start([dataHandler(served)]);
    const one = client();
    one.socket.pause();
    for (let n = 0; n < 8; n++) one.send(heartbeatRequest, 4, { generationId: ANSWER_BYTES });
    await until(() => served.length > 0);
    const [outstanding] = served;
    // A request of another connection is served, and all that the first may have has been by then.
    const other = client();
    other.send(heartbeatRequest, 4, { generationId: 1000 });
    await until(() => served.some((found) => found !== outstanding));
    assert.equal(served.filter((found) => found === outstanding).length, 1);
    assert.equal(outstanding!.bytes, ANSWER_BYTES);
    one.socket.removeAllListeners('data');
    one.socket.resume();
    await until(() => served.filter((found) => found === outstanding).length === 8);
    await until(() => outstanding!.bytes === 0);
  });

  it('closes a client that takes nothing of the data that it has asked for, and says so', async () => {
    const served: ConnectionContext['outstanding'][] = [];
    await start([dataHandler(served)], { stalledReplyMs: 50 });
    const one = client();
    one.socket.pause();
    one.send(heartbeatRequest, 4, { generationId: ANSWER_BYTES });
    await until(() => lines.length > 0);
    assert.match(lines[0]!, /did not take the data/);
    await until(() => arenaStats().blocks === 0);
  });
});
